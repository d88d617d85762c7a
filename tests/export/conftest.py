"""Labelled videos of three classes."""

import pytest


@pytest.fixture(scope="session")
def by_class(videos):
    """Paths of the four test videos of each class."""
    folders = sorted((videos / "test").iterdir())
    return {folder.name: sorted(folder.glob("*.mp4")) for folder in folders}


@pytest.fixture(scope="session")
def support_folder(by_class, tmp_path_factory):
    """Two, one and three videos of the classes."""
    root = tmp_path_factory.mktemp("support")
    for (name, paths), count in zip(by_class.items(), (2, 1, 3), strict=True):
        (root / name).mkdir()
        for path in paths[:count]:
            (root / name / path.name).write_bytes(path.read_bytes())
    return root


@pytest.fixture(scope="session", autouse=True)
def unchecked_shapes():
    """An exported program has sizes that are left open, which the check of shapes cannot read."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
