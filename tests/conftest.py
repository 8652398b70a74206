"""What holds for every test under pytest."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test works in a directory of its own, as it does under trial: ``mktemp`` leaves nothing in the checkout."""
    monkeypatch.chdir(tmp_path)
