"""What holds for every test under pytest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet import reactor


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test works in a directory of its own, as it does under trial: ``mktemp`` leaves nothing in the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def nothing_goes_off_later() -> Iterator[None]:
    """The idle timers of StubTreq's connections do not go off in a later test that runs the reactor.

    Tests that run it themselves have been judged by ``tests.hygiene`` before this.
    """
    before = set(reactor.getDelayedCalls())
    yield
    for call in set(reactor.getDelayedCalls()) - before:
        call.cancel()
