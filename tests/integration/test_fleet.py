"""Many VENs at once: imported and listed, simulated by processes, and back after a kill."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from oadrvtn.ven.swarm import Job, Swarm

from .process import SCRIPTS, Programs, Vtn, programs_of_a_test, until

MANY = 5000
FLEET = 100
PATIENCE = 120.0


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest.fixture
def vtn(tmp_path: Path, programs: Programs) -> Vtn:
    vtn = Vtn.make(tmp_path, programs)
    # a VEN that polls late because this machine does more than the test is not offline
    vtn.config.write_text(vtn.config.read_text().replace('"1s"', '"10s"'))
    return vtn


async def oadrvtn(vtn: Vtn, *arguments: str) -> str:
    """What a command says that goes well."""
    program = await vtn.programs.run(SCRIPTS / "oadrvtn", "-c", vtn.config, *arguments, cwd=vtn.directory)
    assert await program.ended == 0, program.output
    return program.output


@pytest_twisted.ensureDeferred
async def test_five_thousand_vens_are_imported_and_listed_page_by_page(vtn: Vtn) -> None:
    file = vtn.directory / "vens.csv"
    known = {f"ven-{number:04}": hashlib.sha256(b"%d" % number).hexdigest() for number in range(MANY)}
    with file.open("w", newline="") as new:
        rows = csv.writer(new)
        rows.writerow(("ven_id", "name", "fingerprints"))
        rows.writerows((ven_id, f"Site of {ven_id}", known[ven_id]) for ven_id in known)
    await vtn.start()
    assert "5,000 VENs came in" in await oadrvtn(vtn, "ven", "import", str(file))

    def pages() -> list[list[str]]:
        client, cursor = vtn.client, None
        found: list[list[str]] = []
        while not found or cursor:
            page = client.call("GET", "vens", query={"limit": 400, "cursor": cursor})
            found.append([ven["ven_id"] for ven in page["vens"]])
            cursor = page["next"]
        return found

    listed = await deferToThread(pages)
    assert [len(page) for page in listed] == [400] * 12 + [200]
    assert [ven_id for page in listed for ven_id in page] == sorted(known)
    shown = json.loads(await oadrvtn(vtn, "ven", "list", "--json"))
    assert {ven["ven_id"]: ven["fingerprints"][0]["sha256"].replace(":", "").lower() for ven in shown["vens"]} == known


@pytest_twisted.ensureDeferred
async def test_after_a_kill_the_whole_fleet_is_back_and_nobody_was_offline(vtn: Vtn) -> None:
    await vtn.start()
    file = vtn.directory / "fleet.csv"
    await oadrvtn(vtn, "fleet", "--vens", str(FLEET), "--prepare", str(file))
    await oadrvtn(vtn, "ven", "import", str(file))
    job = Job(
        url=f"https://localhost:{vtn.port}",
        ca=str(vtn.certs / "ca.crt"),
        directory=str(vtn.certs),
        names=[f"fleet-{number + 1}" for number in range(FLEET)],
        poll=2.0,
        gap=0.02,
        apart=True,
    )
    swarm = Swarm(job, 2)
    try:
        assert await deferToThread(swarm.everybody, PATIENCE), "they do not all come"
        await vtn.kill()
        swarm.mark()
        await vtn.start()
        assert vtn.process
        before = vtn.process.output
        assert await deferToThread(swarm.everybody, PATIENCE), "they do not all come back"
        assert vtn.api("GET", "status")["vens_online"] == FLEET
        assert "offline" not in before + vtn.process.output
    finally:
        await deferToThread(swarm.stop)


@pytest_twisted.ensureDeferred
async def test_ctrl_c_ends_a_fleet_with_its_summary_and_no_process_is_left(vtn: Vtn) -> None:
    await vtn.start()
    await oadrvtn(vtn, "fleet", "--vens=3", f"--prepare={vtn.directory / 'fleet.csv'}")
    await oadrvtn(vtn, "ven", "import", str(vtn.directory / "fleet.csv"))
    command = (SCRIPTS / "oadrvtn", "-c", vtn.config, "fleet", "--vens=3", "--poll=1s", "--ramp-up=0s", "--json")
    program = vtn.programs.start(*command, cwd=vtn.directory)
    assert vtn.process and program.transport
    await vtn.process.says("oadrPoll -> oadrRegisterReport 200")
    await until("all are there", lambda: vtn.api("GET", "status")["vens_online"] == 3)
    children = Path(f"/proc/{program.transport.pid}/task/{program.transport.pid}/children").read_text().split()
    assert len(children) == 1
    assert await program.end(SIGINT) == 0
    result = json.loads(program.output)
    assert (result["registered"], result["errors"]) == (3, 0)
    assert {"oadrCreatePartyRegistration", "oadrPoll"} <= {kind["message"] for kind in result["kinds"]}
    assert not Path(f"/proc/{children[0]}").exists()
