"""Somebody sets the machine's clock by an hour, forth and back: nobody seems silent then, and nothing waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor

from oadrvtn.security.certificates import load_certificates
from oadrvtn.security.tls import client_policy
from oadrvtn.ven.client import connect
from oadrvtn.ven.fleet import SimulatedVen

from .process import Programs, Vtn, programs_of_a_test, until

_TWISTD = """import time
from pathlib import Path
real, jump = time.time, Path("jump")
time.time = lambda: real() + float(jump.read_text())
from twisted.scripts.twistd import run
run()"""
"""twistd, with a clock on the wall that a file sets."""


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest_twisted.ensureDeferred
async def test_a_clock_that_jumps_an_hour_takes_no_ven_away_and_holds_no_event_back(
    tmp_path: Path, programs: Programs
) -> None:
    vtn = Vtn.make(tmp_path, programs)
    credential = vtn.issue("ven-1")
    jump = tmp_path / "jump"
    jump.write_text("0")
    program = programs.start(sys.executable, "-c", _TWISTD, "-n", "oadrvtn", "--config", vtn.config, cwd=tmp_path)
    await program.says("audit log: head")  # ports are bound before the VTN takes its clocks, this comes behind
    policy = client_policy(credential, load_certificates(vtn.certs / "ca.crt"))
    client = connect(reactor, f"https://localhost:{vtn.port}", policy, "ven-1")
    ven = SimulatedVen(client)
    ven.startService()
    try:
        for number, seconds in enumerate((3600, 0, -3600, 0)):
            jump.write_text(str(seconds))
            await program.says(rf"(?s)(the clock was set by [+-]3600 s.*){{{number + 1}}}")
            event = {
                "market_context": f"http://example.com/{number}",
                "dtstart": "now",
                "signals": [{"intervals": [{"duration": "PT4H", "value": 1}]}],
            }
            event_id = vtn.api("POST", "events", **event)["event_id"]
            answer = partial(
                vtn.rows, "SELECT event_id FROM ledger WHERE event_id = ? AND opt_type = 'optIn'", event_id
            )
            await until("it is answered", answer, 15)
            assert vtn.api("GET", "status")["vens_online"] == 1
        assert "is offline" not in program.output
        assert "Traceback" not in program.output
    finally:
        await ven.stopService()
        await client.close()
