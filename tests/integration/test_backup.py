"""A backup of a VTN that is at work, and its state put back after a kill, by the commands that an operator types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted

from .process import SCRIPTS, Program, Programs, Vtn, programs_of_a_test


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest_twisted.ensureDeferred
async def test_a_backup_of_a_vtn_at_work_is_what_it_was_then(tmp_path: Path, programs: Programs) -> None:
    vtn = Vtn.make(tmp_path, programs)

    async def command(*words: str) -> Program:
        return await programs.run(SCRIPTS / "oadrvtn", "--config", vtn.config, *words, cwd=tmp_path)

    async def vens() -> list[str]:
        asked = await command("ven", "list", "--json")
        return [name for name in ("ven-1", "ven-2") if f'"{name}"' in asked.output]

    async def add(ven_id: str, ending: str) -> None:
        added = await command("ven", "add", ven_id, "--fingerprint", f"AA:BB:CC:DD:EE:FF:00:11:22:{ending}")
        assert await added.ended == 0, added.output

    await vtn.start()
    await add("ven-1", "33")
    backup = await command("backup", "backup.sqlite")
    assert "1 VENs" in backup.output, backup.output
    await add("ven-2", "44")
    refused = await command("restore", "backup.sqlite")
    assert await refused.ended == 1
    assert "stop the VTN first" in refused.output
    assert await vens() == ["ven-1", "ven-2"]

    await vtn.kill()
    restored = await command("restore", "backup.sqlite")
    assert await restored.ended == 0, restored.output
    await vtn.start()
    assert vtn.process and "not a clean one" not in vtn.process.output
    assert await vens() == ["ven-1"]
    assert await vtn.process.end() == -15

    undone = await command(*restored.output.rpartition("  oadrvtn ")[2].split())
    assert await undone.ended == 0, undone.output
    await vtn.start()
    assert await vens() == ["ven-1", "ven-2"]
