"""OpenADRServer on a reactor that runs: several that share nothing, what it is asked, and the promised listings."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from oadrvtn import OpenADRServer
from oadrvtn.compose import StartError
from oadrvtn.model.config import ConfigError
from oadrvtn.model.errors import InvalidData, NotAllowed, OutOfSequence
from oadrvtn.model.event import OadrDistributeEvent
from oadrvtn.model.party import EiResponse, OadrResponse
from oadrvtn.model.report import OadrRegisteredReport, OadrRegisterReport
from oadrvtn.model.values import Duration
from oadrvtn.security import certificates, fingerprint
from oadrvtn.security.certificates import Credential, load_certificates
from oadrvtn.security.tls import client_policy
from oadrvtn.ven.client import VenClient, connect
from oadrvtn.vtn.specs import spec_of
from tests.integration.process import TWISTD, Programs, Vtn, free_ports, programs_of_a_test

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.rst"
EVENT: dict[str, Any] = {"market_context": "http://program", "dtstart": "now", "level": 1, "duration": "1h"}


class Place:
    """A VTN with a PKI of its own, and its VEN, which has a connection of its own."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.certs = directory / "certs"
        certificates.init(self.certs)
        self.credential: Credential = certificates.issue(self.certs, "ven")
        self.shown = fingerprint.show(self.credential.fingerprint)
        [self.port] = free_ports(1)
        self.server = OpenADRServer(
            state_directory=directory / "state",
            listen={"host": "127.0.0.1", "port": self.port},
            tls={
                "certificates": [{"certificate": self.certs / "vtn-ec.crt", "key": self.certs / "vtn-ec.key"}],
                "ca": [self.certs / "ca.crt"],
            },
            api={"enabled": False},
            **settings,
        )
        policy = client_policy(self.credential, load_certificates(self.certs / "ca.crt"))
        self.ven: VenClient = connect(reactor, f"https://localhost:{self.port}", policy, "ven", "ven-1")

    async def registered(self) -> VenClient:
        """The VEN, once it has registered and taken note of the VTN's own reports."""
        await self.ven.register()
        while isinstance(message := await self.ven.poll(), OadrRegisterReport):
            await self.ven.send(OadrRegisteredReport(response=EiResponse.ok(message.request_id), ven_id="ven-1"))
        return self.ven

    def rows(self, query: str) -> list[Any]:
        connection = sqlite3.connect(f"file:{self.server.config.database_path}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[Place]]:
    """Two places, which are left in order."""
    found = [Place(tmp_path / name, vtn_id=name) for name in ("north", "south")]
    yield found

    async def leave() -> None:
        for place in found:
            await place.ven.close()
            await place.server.stop()

    pytest_twisted.blockon(Deferred.fromCoroutine(leave()))


@pytest_twisted.ensureDeferred
async def test_two_in_one_process_share_nothing(places: list[Place]) -> None:
    told: list[tuple[str, str]] = []
    for place in places:
        name = place.server.config.vtn_id
        place.server.add_handler("on_ven_online", lambda ven_id, name=name: told.append((name, ven_id)))
        await place.server.start()
    north, south = places
    await north.server.add_ven("ven-1", north.shown)
    await north.server.add_event(event_id="of-the-north", **EVENT)
    ven = await north.registered()
    assert [one.event.descriptor.event_id for one in (await ven.request_event()).events] == ["of-the-north"]
    assert told == [("north", "ven-1")]
    assert (north.rows("SELECT ven_id FROM vens"), south.rows("SELECT ven_id FROM vens")) == ([("ven-1",)], [])
    assert south.rows("SELECT event_id FROM events") == []
    await north.server.stop()
    await south.server.add_ven("ven-1", south.shown)
    await south.registered()
    assert told == [("north", "ven-1"), ("south", "ven-1")]


@pytest_twisted.ensureDeferred
async def test_what_is_asked_before_the_start_is_done_after_it_in_its_order(places: list[Place]) -> None:
    server = places[0].server
    waiting = [server.add_ven("ven-1", places[0].shown), server.add_event(event_id="early", ven_ids="ven-1", **EVENT)]
    assert not any(one.called for one in waiting)
    await server.start()
    ven, event = [await one for one in waiting]
    assert (ven.ven_id, event.event_id) == ("ven-1", "early")


@pytest_twisted.ensureDeferred
async def test_events_are_made_changed_and_cancelled_by_their_fields(places: list[Place]) -> None:
    server = places[0].server
    await server.start()
    await server.add_ven("ven-1", places[0].shown, name="cold store")
    made = await server.add_event(
        event_id="peak", market_context="http://program", dtstart=server.service.vtn.now(),
        signal_name="ELECTRICITY_PRICE", signal_type="priceRelative",
        intervals=[(timedelta(minutes=15), 0.5), ("30m", 1.5)], ven_ids=["ven-1"],
        ramp_up=timedelta(minutes=5), priority=1, response_required="always", vtn_comment="hello", force=True,
    )  # fmt: skip
    assert (made.modification_number, made.source) == (0, "operator")
    ven = await places[0].registered()
    [shown] = (await ven.request_event()).events
    [signal] = shown.event.event_signals.signals
    lengths = [str(interval.duration) for interval in signal.intervals]
    assert (signal.signal_name, lengths, shown.event.target.ven_ids) == (
        "ELECTRICITY_PRICE",
        ["PT15M", "PT30M"],
        ("ven-1",),
    )
    changed = await server.modify_event("peak", priority=2)
    assert changed.modification_number == 1
    with pytest.raises(OutOfSequence):
        await server.modify_event("peak", 0, priority=3)
    await server.modify_event("peak", level=1, duration="1h")
    for alone in ({"level": 2}, {"duration": "2h"}):
        changed = await server.modify_event("peak", **alone)
    [signal] = spec_of(changed).signals
    assert (signal.signal_name, str(signal.intervals)) == ("SIMPLE", str(((Duration("PT2H"), 2.0),)))
    assert (await server.cancel_event("peak", "enough")).cancelled
    message = await ven.poll()
    assert isinstance(message, OadrDistributeEvent)
    assert message.events[0].event.descriptor.event_status == "cancelled"
    assert places[0].rows("SELECT who, action, object FROM audit ORDER BY number") == [
        ("program", "add VEN", "ven-1"),
        ("program", "add event", "peak"),
        *[("program", "modify event", "peak")] * 4,
        ("program", "cancel event", "peak"),
    ]


@pytest_twisted.ensureDeferred
async def test_mistakes_are_told_with_their_places(places: list[Place]) -> None:
    server = places[0].server
    await server.start()
    with pytest.raises(InvalidData) as caught:
        await server.add_event(**{**EVENT, "priority": "high", "dtstart": "soon", "colour": "red"})
    assert {mistake.place for mistake in caught.value.mistakes} == {"priority", "dtstart", "colour"}
    with pytest.raises(InvalidData, match="fingerprint"):
        await server.add_ven("ven-1", "no fingerprint")
    with pytest.raises(NotAllowed):
        await server.add_ven("ven-1", places[0].shown)
        await server.add_ven("ven-2", places[0].shown)


@pytest_twisted.ensureDeferred
async def test_a_report_of_the_program_is_offered_and_one_of_the_ven_is_asked_for(places: list[Place]) -> None:
    server = places[0].server
    server.add_report("grid", [{"r_id": "load"}], lambda *_: {"load": 7})
    await server.start()
    await server.add_ven("ven-1", places[0].shown)
    ven = places[0].ven
    await ven.register()
    offered = await ven.poll()
    assert [report.report_specifier_id for report in offered.reports] == ["grid"]
    await server.add_report("weather", [{"r_id": "sun", "value": 1}])
    assert [report.report_specifier_id for report in (await ven.poll()).reports] == ["grid", "weather"]
    asked = await server.request_report("ven-1", "METADATA")
    assert asked.ven_id == "ven-1"
    with pytest.raises(InvalidData) as caught:
        await server.request_report("ven-1", "load", "power", granularity="often", dtstart="soon")
    assert {mistake.place for mistake in caught.value.mistakes} == {"r_ids", "granularity", "dtstart"}
    with pytest.raises(TypeError, match="no function"):
        server.add_report("more", [{"r_id": "load"}], "utility.dr:load")
    with pytest.raises(ConfigError, match="the same as"):
        server.add_report("grid", [{"r_id": "load", "value": 1}])


@pytest_twisted.ensureDeferred
async def test_what_keeps_it_from_starting_is_told_and_leaves_nothing_behind(places: list[Place]) -> None:
    north, south = places
    await north.server.start()
    second = OpenADRServer(
        state_directory=south.server.config.state_directory, listen={"host": "127.0.0.1", "port": north.port},
        tls=north.server.config.tls, api={"enabled": False},
    )  # fmt: skip
    with pytest.raises(StartError, match="cannot listen"):
        await second.start()
    with pytest.raises(ConfigError, match=r"tls\.certificates: is missing"):
        await OpenADRServer("MyVTN").start()
    with pytest.raises(ConfigError) as caught:
        OpenADRServer("MyVTN", listen={"prot": 1}, limits={"roster": 0}, colour="red")
    assert len(caught.value.mistakes) == 3
    await north.server.stop()
    await second.start()
    await second.stop()
    await second.stop()


# --- the promised listings ------------------------------------------------------------------------------


def listing(number: int, names: dict[str, Any]) -> dict[str, Any]:
    """The names of a listing of the page after it has run; functions are there before the lines that name them."""
    blocks = PAGE.read_text("utf-8").split(".. code-block:: python\n")[1:]
    lines = blocks[number].splitlines()
    end = next((at for at, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
    body = ast.parse("\n".join(line[4:] for line in lines[:end])).body
    body.sort(key=lambda statement: not isinstance(statement, ast.AsyncFunctionDef))
    exec(compile(ast.Module(body, []), str(PAGE), "exec"), names)
    return names


class Database:
    """The made-up database of the listing, which knows one VEN."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def query(self, text: str, parameters: tuple[Any, ...]) -> Any:
        self.asked.append((text.split()[0], parameters))
        return succeed(int("ven-1" in parameters))


@pytest_twisted.ensureDeferred
async def test_the_promised_listings_run_as_they_are(places: list[Place], capsys: pytest.CaptureFixture[str]) -> None:
    database = Database()
    first = listing(0, {"database": database})
    second = listing(1, {})
    assert second["server"].config.vtn_id == "MyVTN"
    assert {"on_ven_online", "on_ven_offline"} <= second["server"]._handlers.keys()
    server = places[0].server
    server.add_handler("on_register_party", first["on_create_party_registration"])
    for name, function in second["server"]._handlers.items():
        server.add_handler(name, function)
    await server.start()
    ven = await places[0].registered()
    assert [word for word, _ in database.asked] == ["SELECT", "UPDATE"]
    assert places[0].rows("SELECT ven_id, registration_id FROM vens") == [("ven-1", database.asked[1][1][0])]
    assert isinstance(await ven.poll(), OadrResponse)
    assert capsys.readouterr().out == "VEN ven-1 is now online again!\n"


# --- asyncio --------------------------------------------------------------------------------------------

_HANDLERS = """
import asyncio
from oadrvtn import OadrPoll

class Patient(OadrPoll):
    async def on_poll(self, payload, exchange):
        await asyncio.sleep(0.05)
        answer = await super().on_poll(payload, exchange)
        await asyncio.wait_for(asyncio.sleep(0.05), 5)
        return answer
"""


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest.mark.parametrize("on_asyncio", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_real_sleep_of_asyncio_needs_its_reactor(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch, on_asyncio: bool
) -> None:
    (tmp_path / "patience_of_a_test.py").write_text(_HANDLERS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    vtn = Vtn.make(tmp_path, programs)
    credential = vtn.issue("ven-1")
    with vtn.config.open("a") as file:
        file.write('\n[handlers]\nOadrPoll = "patience_of_a_test:Patient"\n')
    options = ("--reactor", "asyncio") if on_asyncio else ()
    process = programs.start(TWISTD, *options, "-n", "oadrvtn", "--config", vtn.config, cwd=tmp_path)
    await process.says(f"starting on {vtn.api_port}")
    policy = client_policy(credential, load_certificates(vtn.certs / "ca.crt"))
    ven = connect(reactor, f"https://localhost:{vtn.port}", policy, "ven-1", "ven-1")
    try:
        await ven.register()
        answer = await ven.poll()
        if on_asyncio:
            assert isinstance(answer, OadrRegisterReport)
        else:
            assert answer.response.response_code == "500"
            await process.says("can be awaited under 'twistd --reactor asyncio' only")
    finally:
        await ven.close()
