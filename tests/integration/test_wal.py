"""A damaged log of SQLite: what was committed before the damage is there, and the VTN serves."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted

from .process import Programs, Vtn, programs_of_a_test


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


def cut(log: bytes) -> bytes:
    """Its last third was never written."""
    return log[: len(log) * 2 // 3]


def flipped(log: bytes) -> bytes:
    """A bit of a page in the middle is another one."""
    at = len(log) // 2
    return log[:at] + bytes([log[at] ^ 4]) + log[at + 1 :]


def noise(log: bytes) -> bytes:
    """All is overwritten."""
    return random.Random(1).randbytes(len(log))


@pytest.mark.parametrize("damage", [cut, flipped, noise])
@pytest_twisted.ensureDeferred
async def test_what_was_there_before_the_damage_is_there_and_more_can_be_written(
    tmp_path: Path, programs: Programs, damage: Callable[[bytes], bytes]
) -> None:
    vtn = Vtn.make(tmp_path, programs)
    await vtn.start()
    for number in range(20):
        vtn.api("POST", "groups", group_id=f"g-{number}", name=f"Group {number}")
    await vtn.kill()
    [log] = (tmp_path / "state").glob("*.sqlite-wal")
    log.write_bytes(damage(log.read_bytes()))

    await vtn.start()
    assert vtn.process
    await vtn.process.says("the last stop was not a clean one")
    found = [group["group_id"] for group in vtn.api("GET", "groups")["groups"]]
    assert {f"g-{number}" for number in range(len(found))} == set(found)  # the first ones, without a hole
    assert len(found) < 20
    vtn.api("POST", "groups", group_id="g-new", name="A new one")
    assert vtn.rows("SELECT name FROM groups WHERE group_id = 'g-new'") == [("A new one",)]
    assert "Traceback" not in vtn.process.output
