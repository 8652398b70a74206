"""The log of a real process for programs: all that it writes is JSON, a line each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM

import pytest
import pytest_twisted

from .process import TWISTD, Programs, Vtn, programs_of_a_test


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest_twisted.ensureDeferred
async def test_each_line_from_start_to_stop_is_an_object(tmp_path: Path, programs: Programs) -> None:
    vtn = Vtn.make(tmp_path, programs)
    logger = ("--nodaemon", "--logger", "oadrvtn.console.log.json_lines")
    process = programs.start(TWISTD, *logger, "oadrvtn", "--config", vtn.config, cwd=tmp_path)
    await process.says(f"starting on {vtn.api_port}")
    vtn.api("POST", "vens", ven_id="ven-1", fingerprints=["AA:BB:CC:DD:EE:FF:00:11:22:33"])
    assert await process.end(SIGTERM) == -SIGTERM
    lines = [json.loads(line) for line in process.output.splitlines()]
    assert lines[-1]["message"] == "Server Shut Down."
    (told,) = (line for line in lines if line["message"].startswith("operator 'local': POST"))
    assert (told["level"], told["fields"]["status"]) == ("info", 201)
