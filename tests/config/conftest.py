"""Fixtures of the tests of settings."""

import pytest
from config.toys import toys  # noqa: F401

from mdmf_jax.config import renamed


@pytest.fixture(autouse=True)
def unwarned(monkeypatch):
    """No old name has been warned of yet."""
    monkeypatch.setattr(renamed, "_warned", set())
