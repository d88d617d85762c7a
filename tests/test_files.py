"""Files and folders appear whole or not at all, and as the umask says."""

import ast
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mdmf_jax import files
from mdmf_jax.classifier.output import write_csv
from mdmf_jax.cli.main import main
from mdmf_jax.errors import ConfigError, DataError, UserError, WeightsError
from mdmf_jax.evaluation.features.store import FeatureStore
from mdmf_jax.evaluation.partial import PartialAnswers

UMASKS = (0o022, 0o077, 0o002)


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return path.stat().st_mode & 0o777


def private(path):
    """Writes a file as some writers do: another one, readable for its owner alone."""
    path.unlink()
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    path.write_text("new")


def test_a_file_has_the_mode_that_the_umask_gives(tmp_path, umask):
    files.write_whole(tmp_path / "new" / "a.txt", "text")
    files.write_json(tmp_path / "b.json", {})
    with files.whole_file(tmp_path / "c") as temporary:
        private(temporary)
    (tmp_path / "plain").write_text("as every program does it")
    for name in ("new/a.txt", "b.json", "c"):
        assert mode(tmp_path / name) == mode(tmp_path / "plain") == 0o666 & ~umask
    assert mode(tmp_path / "new") == 0o777 & ~umask


def test_a_folder_has_the_mode_that_the_umask_gives(tmp_path, umask):
    with files.whole_folder(tmp_path / "folder") as temporary:
        (temporary / "file").write_text("x")
    assert mode(tmp_path / "folder") == 0o777 & ~umask
    assert mode(tmp_path / "folder" / "file") == 0o666 & ~umask


@pytest.mark.parametrize("data", [b"", b"\0\xff", "naïve\r\n", "\udcff"])
def test_content_is_written_as_it_is(tmp_path, data):
    path = tmp_path / ("n" * 255)  # the longest name that there is
    files.write_whole(path, b"old and longer")
    files.write_whole(path, data)
    assert path.read_bytes() == (data if isinstance(data, bytes) else os.fsencode(data))
    assert os.listdir(tmp_path) == [path.name]


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "new" / "results.json"
    files.write_json(path, {"a": [1, None]})
    assert json.loads(path.read_text()) == {"a": [1, None]}
    assert os.listdir(path.parent) == ["results.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": 2, "b": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["results.json"]


CRASH = """
import os, signal, sys
from mdmf_jax import files

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[2], die)
if sys.argv[3] == "file":
    files.write_whole(sys.argv[1], "new")
else:
    with files.whole_folder(sys.argv[1], replace=True) as temporary:
        (temporary / "file").write_text("new")
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("when", ["fsync", "replace"])
def test_a_killed_writer_leaves_the_old_content(tmp_path, repository, kind, when):
    path = old = tmp_path / "kept"
    if kind == "folder":
        path.mkdir()
        old = path / "file"
    old.write_text("old")
    command = [sys.executable, "-c", CRASH, str(path), when, kind]
    done = subprocess.run(command, cwd=repository, check=False)
    assert done.returncode == -signal.SIGKILL
    assert old.read_text() == "old"
    files.write_whole(old, "newer")  # what the crash left does not stand in the way
    assert old.read_text() == "newer"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    steps = []

    def synced(handle):
        steps.append(os.readlink(f"/proc/self/fd/{handle}"))

    def renamed(source, target):
        steps.append("rename")
        os.rename(source, target)

    monkeypatch.setattr(files.os, "fsync", synced)
    monkeypatch.setattr(files.os, "replace", renamed)
    files.write_whole(tmp_path / "a", "x")
    assert steps[0].endswith(".tmp") and steps[1:] == ["rename", str(tmp_path)]


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EIO])
def test_a_failed_write_leaves_the_old_file_and_one_line(tmp_path, monkeypatch, name, reason):
    path = tmp_path / "a"
    path.write_text("old")

    def fail(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(files.os, name, fail)
    with pytest.raises(DataError) as caught:
        files.write_whole(path, "new", DataError, "make room")
    assert str(caught.value) == f"{path}: cannot be written ({os.strerror(reason)}); make room"
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_a_full_disk_is_one_line(tmp_path):
    """A real one: a file system of 64 KiB."""
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount a file system")
    try:
        files.write_whole(tmp_path / "a", b"old")
        with pytest.raises(DataError, match="cannot be written .No space left on device."):
            files.write_whole(tmp_path / "a", bytes(2**20), DataError)
        with pytest.raises(WeightsError, match="No space left on device"):
            with files.whole_folder(tmp_path / "b", WeightsError) as temporary:
                (temporary / "file").write_bytes(bytes(2**20))
        assert (tmp_path / "a").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for write in (files.write_whole, files.write_json):
        with pytest.raises(DataError, match="file/a: cannot be written .File exists."):
            write(tmp_path / "file" / "a", "x", DataError)
    with pytest.raises(UserError, match="cannot be written"):
        with files.whole_folder(tmp_path / "file" / "b"):
            pass
    with pytest.raises(DataError) as caught, files.whole_folder(tmp_path / "out") as temporary:
        (temporary / "file").write_text("in the way")
        files.write_whole(temporary / "file" / "a", "x", DataError)
    # The temporary name would say nothing.
    assert str(caught.value) == f"{tmp_path}/out/file/a: cannot be written (File exists)"
    with pytest.raises(UserError, match="cannot be written .Is a directory."):
        (tmp_path / "folder").mkdir()
        files.write_whole(tmp_path / "folder", "x")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_read_only_folder_is_one_line(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be written .Permission denied."):
        files.write_whole(tmp_path / "a", "x", DataError)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_an_exception_leaves_what_was_there(tmp_path, stop):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("old")
    with pytest.raises(stop), files.whole_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
        raise stop
    with pytest.raises(stop), files.whole_folder(tmp_path / "b", replace=True) as temporary:
        (temporary / "x").write_text("new")
        raise stop
    assert (tmp_path / "a").read_text() == (tmp_path / "b" / "x").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_folder_is_replaced_only_where_that_is_asked_for(tmp_path):
    place = tmp_path / "a"
    for text in ("first", "second"):
        with files.whole_folder(place, replace=True) as temporary:
            assert not (temporary / "file").exists()
            (temporary / "file").write_text(text)
        assert (place / "file").read_text() == text
    with pytest.raises(WeightsError, match="a exists already; give a new folder"):
        with files.whole_folder(place, WeightsError):
            pass
    assert (place / "file").read_text() == "second" and os.listdir(tmp_path) == ["a"]


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "a").mkdir()
    with files.whole_folder(tmp_path / "a") as temporary:
        (temporary / "file").write_text("x")
    assert (tmp_path / "a" / "file").read_text() == "x"


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    place = tmp_path / "a"
    place.mkdir()
    (place / "file").write_text("old")

    def replace(source, target, real=os.replace):
        if Path(target) == place and "new" in (p.read_text() for p in Path(source).iterdir()):
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(UserError, match="Input/output error"):
        with files.whole_folder(place, replace=True) as temporary:
            (temporary / "file").write_text("new")
    assert (place / "file").read_text() == "old" and os.listdir(tmp_path) == ["a"]


def test_json_comes_back(tmp_path):
    content = {"a": [1, None, "ü"], "b": {}}
    files.write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text()) == content
    assert files.read_json(tmp_path / "x.json") == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "x.json: not valid JSON"),
        (b"\xff\xfe\xfd", "x.json: not valid JSON"),
        (b"[" * 100_000, "x.json: not valid JSON"),
        (b"[1]", "x.json: expected a JSON object, found list; run again"),
        (None, "x.json: no such file; run again"),
    ],
)
def test_json_that_cannot_be_read_is_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        files.read_json(tmp_path / "x.json", DataError, "run again")


def test_checksums_are_those_of_the_standard_tool(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 1000)
    told = subprocess.run(["sha256sum", tmp_path / "a"], capture_output=True, check=True, text=True)
    assert files.sha256_of(tmp_path / "a") == told.stdout.split()[0]
    assert (
        files.sha256(b"ab") == files.sha256(iter([b"a", b"b"])) == hashlib.sha256(b"ab").hexdigest()
    )
    with pytest.raises(DataError, match="b: no such file"):
        files.sha256_of(tmp_path / "b", DataError)


def test_a_digest_depends_on_the_content_alone():
    assert files.digest({"a": 1, "b": [2]}) == files.digest({"b": [2], "a": 1})
    assert len({files.digest(x) for x in ({"a": 1}, {"a": 2}, {"b": 1}, ["a", 1])}) == 4


# What only files.py may use. (module, name) of other uses, each with its reason.
OWN_WAYS = {
    "fsync", "hashlib", "link", "mkdtemp", "mkstemp", "move", "NamedTemporaryFile", "rename",
    "replace", "SpooledTemporaryFile", "TemporaryFile", "write_bytes", "write_text",
}  # fmt: skip
EXCEPTIONS = {
    ("export/load_exported.py", "hashlib"): "is copied into exported folders and stands alone",
    ("classifier/searching.py", "fsync"): "a journal grows line by line",
    ("export/writer.py", "write_bytes"): "inside a whole folder",
    ("export/writer.py", "write_text"): "inside a whole folder",
    ("classifier/bundle.py", "write_bytes"): "inside a whole folder",
    ("training/checkpoint.py", "rename"): "sets a damaged checkpoint aside",
    ("runs/doctor/machine.py", "TemporaryFile"): "a trial in a folder",
    ("runs/doctor/installation.py", "write_bytes"): "a trial in a temporary folder",
}


def own_ways(tree):
    """Uses of OWN_WAYS in a module."""
    functions = {"move", "link", "rename", "replace"}  # also methods of other things
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
            yield from names & (OWN_WAYS - {"replace"})  # dataclasses.replace
        elif isinstance(node, ast.Attribute) and node.attr in OWN_WAYS:
            owner, called = getattr(node.value, "id", ""), node.attr
            if called not in functions or owner in {"os", "shutil"} or called == "rename":
                yield called


def test_no_other_module_has_its_own_way_to_write_or_hash(repository):
    package, found = repository / "mdmf_jax", set()
    for module in package.rglob("*.py"):
        name = module.relative_to(package).as_posix()
        if name != "files.py":
            tree = ast.parse(module.read_text(encoding="utf-8"))
            found |= {(name, way) for way in own_ways(tree)}
    assert found - EXCEPTIONS.keys() == set(), "use mdmf_jax.files"
    assert EXCEPTIONS.keys() - found == set(), "an exception that nobody needs"


@pytest.mark.parametrize(
    "code",
    [
        "import hashlib",
        "from tempfile import mkstemp",
        "import os; os.replace(a, b)",
        "import tempfile; tempfile.NamedTemporaryFile()",
        "path.with_name('x').rename(path)",
        "(folder / 'x').write_text('')",
        "import shutil; shutil.move(a, b)",
    ],
)
def test_the_check_above_can_fail(code):
    assert list(own_ways(ast.parse(code)))


def test_what_the_programs_write_has_the_mode_that_the_umask_gives(
    finished_run, repository, tmp_path
):
    before = os.umask(0o022)
    try:
        write_csv(tmp_path / "a.csv", ("a",), [(1,)])
        cache = FeatureStore(tmp_path / "features", files.digest({}))
        cache.features(2, lambda videos: {"frames": np.zeros((len(videos), 1, 1))})
        answers = PartialAnswers(tmp_path / "partial", "key")
        answers._write({"a": np.zeros(1)})
        main(["report", str(finished_run.folder), "--numbers-only", f"--out={tmp_path / 'x.html'}"])
    finally:
        os.umask(before)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".csv", ".features", ".html", ""}
    assert {mode(path) for path in written} == {0o644}
    assert mode(finished_run.folder / "results.json") == 0o666 & ~before


def test_only_gs_is_cloud_storage(tmp_path):
    assert isinstance(files.path("gs:/a"), Path) and isinstance(files.path(tmp_path), Path)
    assert not files.is_cloud("gs:/a") and not files.is_cloud(tmp_path)
    assert files.is_cloud("gs://a/b")


def test_gs_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigError, match=r"gs://a: gs:// needs gcsfs.* install mdmf_jax\[gcs\]"):
        files.path("gs://a")


def test_a_local_path_loads_nothing_heavy(repository):
    code = "import sys; from mdmf_jax import files; files.path('a'); print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "jax", "etils", "fsspec", "gcsfs", "tensorflow"}
