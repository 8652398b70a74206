"""What certification plays with a VTN: a VEN by the book over mTLS, an operator with the API, and ``twistd oadrvtn``.

One process serves all of them; each has VENs of its own.  Where certification waits minutes, these wait seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from oadrvtn.console.client import ApiError, Client
from oadrvtn.model.config import load
from oadrvtn.model.event import EventResponse, OadrDistributeEvent, PowerReal, Properties, QualifiedEventID
from oadrvtn.model.party import (
    OadrCancelPartyRegistration,
    OadrRequestReregistration,
    OadrResponse,
)
from oadrvtn.model.report import (
    OadrCancelReport,
    OadrCreateReport,
    OadrRegisterReport,
    OadrReportRequest,
    OadrUpdateReport,
    ReportSpecifier,
    SpecifierPayload,
)
from oadrvtn.model.schema import Message
from oadrvtn.model.values import Duration
from oadrvtn.security import fingerprint
from oadrvtn.security.certificates import Authority, Credential, load_certificates
from oadrvtn.security.tls import client_policy
from oadrvtn.ven.client import Unreachable, VenClient, connect, instant
from oadrvtn.ven.fleet import HISTORY, METADATA, STATUS, USAGE, SimulatedVen
from tests.handlers.house import code, made
from tests.hygiene import critical_events
from tests.integration.process import Programs, Vtn, programs_of_a_test

from .matrix import proves

__all__ = ["critical_events"]

OFFERS = """
[[offers]]
report_specifier_id = "grid"
data_points = [ { r_id = "frequency", item_base = "frequency", value = 50.0, min_period = "1s" } ]
"""
PROGRAM = "http://example.com/program"
HOUR = [{"duration": "PT1H", "value": 1}]
PRICE = {
    "signal_name": "ELECTRICITY_PRICE",
    "signal_type": "price",
    "item_base": {"name": "currencyPerKWh", "item_description": "currencyPerKWh", "item_units": "USD"},
}
MOST_POLLS = 60


@attrs.define
class Operator:
    """The VTN, what an operator does with it, and the VENs of a test."""

    vtn: Vtn
    clients: list[VenClient] = attrs.field(factory=list)
    _count: int = 0

    # --- VENs

    def policy(self, credential: Credential | None) -> Any:
        """How a VEN with this certificate connects."""
        return client_policy(credential, load_certificates(self.vtn.certs / "ca.crt"))

    def client(self, policy: Any, name: str, ven_id: str | None = None) -> VenClient:
        """A client that is closed when the test is over."""
        client = connect(reactor, f"https://localhost:{self.vtn.port}", policy, name, ven_id)
        self.clients.append(client)
        return client

    def stranger(self, *, rsa: bool = False, ven_id: bool = False, **more: Any) -> SimulatedVen:
        """A VEN that the VTN knows and that has not registered; with ``ven_id`` it knows its venID, too."""
        self._count += 1
        name = f"ven-{self._count}"
        credential = self.vtn.issue(name, rsa=rsa, listed=False)
        self.api("POST", "vens", ven_id=name, fingerprints=[fingerprint.show(credential.fingerprint)])
        return SimulatedVen(self.client(self.policy(credential), name, name if ven_id else None), **more)

    async def ven(self, **more: Any) -> SimulatedVen:
        """A VEN that has registered, has offered its reports, and has nothing waiting."""
        ven = self.stranger(**more)
        await ven.register()
        await drain(ven)
        return ven

    # --- operators

    def resources(self, ven: SimulatedVen) -> list[str]:
        """Two resources of a VEN."""
        found = [f"{name(ven)}-{which}" for which in ("boiler", "pump")]
        self.api("PATCH", "vens", name(ven), "traits", resource_ids=found)
        return found

    def api(self, method: str, *path: str, **body: Any) -> Any:
        """What the API answers."""
        return self.vtn.api(method, *path, **body)

    def event(self, *vens: SimulatedVen, dtstart: str = "+10m", **more: Any) -> str:
        """A new event for these VENs: by default SIMPLE level 1 for an hour, in ten minutes."""
        body = {
            "market_context": PROGRAM,
            "dtstart": dtstart,
            "target": {"ven_ids": [name(ven) for ven in vens]},
            "signals": [{"intervals": HOUR}],
        }
        event_id: str = self.api("POST", "events", **body | more)["event_id"]
        return event_id

    def ledger(self, ven: SimulatedVen, event_id: str) -> list[tuple[int, str, str | None]]:
        """What the operator reads of a VEN and an event: number, state, opt."""
        lines = self.api("GET", "events", event_id)["ledger"]
        mine = (line for line in lines if line["ven_id"] == name(ven))
        return [(line["modification_number"], line["state"], line["opt_type"]) for line in mine]

    def request(self, ven: SimulatedVen, *wishes: dict[str, Any]) -> list[str]:
        """Ask for reports; the reportRequestIDs."""
        made = self.api("POST", "vens", name(ven), "requests", requests=[*wishes])
        return [one["report_request_id"] for one in made["report_requests"]]

    def cancel(self, ven: SimulatedVen, *ids: str, follow: bool = False) -> None:
        """Take reports back."""
        self.api("POST", "vens", name(ven), "requests", "cancel", report_request_ids=[*ids], report_to_follow=follow)

    def state(self, request: str) -> str:
        """What became of a request for a report."""
        [(found,)] = self.vtn.rows("SELECT state FROM report_requests WHERE report_request_id = ?", request)
        return str(found)

    def readings(self, request: str) -> list[tuple[Any, ...]]:
        """What came: r_id, start in microseconds, seconds, value."""
        query = "SELECT r_id, start, seconds, value FROM readings WHERE report_request_id = ? ORDER BY r_id, start"
        return self.vtn.rows(query, request)


def name(ven: SimulatedVen) -> str:
    """Its venID, which is its name here."""
    return ven.client.ven_name


async def drain(ven: SimulatedVen) -> list[Any]:
    """Poll until there is nothing more; what there was.  The VEN answers all of it."""
    found: list[Any] = []
    while not isinstance(message := await ven.poll(), OadrResponse):
        found.append(message)
        assert len(found) < MOST_POLLS, found
    return found


async def brings(ven: SimulatedVen, cls: type[Message]) -> Any:
    """The next message of a class that comes by poll; others before it are answered."""
    for _ in range(MOST_POLLS):
        message = await ven.poll()
        if isinstance(message, cls):
            return message
        if isinstance(message, OadrResponse):
            await sleep(0.2)
    raise AssertionError(f"no {cls.name()} came")


def sleep(seconds: float) -> Deferred[None]:
    """Let time pass."""
    return deferLater(reactor, seconds, lambda: None)


async def ask(ven: SimulatedVen, reply_limit: int | None = None) -> list[Any]:
    """The eiEvents that oadrRequestEvent brings, in their order."""
    reply: OadrDistributeEvent = await ven.client.request_event(reply_limit)
    assert reply.response and reply.response.response_code == "200"
    return [one.event for one in reply.events]


async def sees(ven: SimulatedVen, event_id: str) -> Any:
    """An eiEvent as the VEN is shown it now."""
    return next(event for event in await ask(ven) if event.descriptor.event_id == event_id)


def response(event_id: str, number: int, opt: str = "optIn", code: str = "200") -> EventResponse:
    """An answer to an event."""
    return EventResponse(
        response_code=code,
        request_id="r",
        qualified_event_id=QualifiedEventID(event_id=event_id, modification_number=number),
        opt_type=opt,
    )


def values(signal: Any) -> list[float]:
    """The values of a signal's intervals."""
    return [interval.payloads[0].payload.value for interval in signal.intervals]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vtn]:
    """The VTN that serves all tests."""
    running = programs_of_a_test()
    programs: Programs = next(running)
    vtn = Vtn.make(tmp_path_factory.mktemp("vtn"), programs)
    vtn.config.write_text(vtn.config.read_text().partition("[[reports]]")[0] + OFFERS)
    pytest_twisted.blockon(Deferred.fromCoroutine(vtn.start()))
    yield vtn
    assert vtn.process and "Traceback" not in vtn.process.output
    for _ in running:
        pass


COUNT = iter(range(1, 10**6))


@pytest.fixture
def op(process: Vtn) -> Iterator[Operator]:
    """An operator, and VENs whose connections do not outlive the test."""
    operator = Operator(process, count=next(COUNT) * 100)
    yield operator
    for client in operator.clients:
        pytest_twisted.blockon(client.close())


scenario = pytest_twisted.ensureDeferred


# --- registration ---------------------------------------------------------------------------------------


@proves("10-query-create")
@scenario
async def test_a_ven_asks_and_then_registers(op: Operator) -> None:
    ven = op.stranger()
    told = await ven.client.query()
    assert (told.registration_id, told.ven_id, told.profiles[0].transports) == (None, None, ("simpleHttp",))
    registered = await ven.client.register()
    assert (code(registered), registered.ven_id) == ("200", name(ven))
    told = await ven.client.query()
    assert (told.registration_id, told.ven_id) == (registered.registration_id, name(ven))


@proves("10-create-without-ids")
@scenario
async def test_a_ven_without_ids_registers_and_both_sides_offer_their_reports(op: Operator) -> None:
    ven = op.stranger()
    assert (ven.client.ven_id, ven.client.registration_id) == (None, None)
    await ven.register()
    first = await ven.poll()
    assert isinstance(first, OadrRegisterReport)
    offered = {report.report_specifier_id for report in first.reports}
    assert offered == {"grid"}
    await drain(ven)
    shown = op.api("GET", "vens", name(ven))
    assert {report["report_specifier_id"] for report in shown["capabilities"]["reports"]} == {USAGE, STATUS, HISTORY}
    assert {entry["state"] for entry in shown["outbox"]} == {"done"}


@proves("10-create-preconfigured")
@scenario
async def test_a_ven_registers_by_the_ven_id_it_was_given_before(op: Operator) -> None:
    ven = op.stranger(ven_id=True)
    registered = await ven.client.register()
    assert (code(registered), registered.ven_id) == ("200", name(ven))


@proves("10-reregister")
@scenario
async def test_a_ven_registers_again_without_changes_and_with(op: Operator) -> None:
    ven = await op.ven()
    registration_id = ven.client.registration_id
    assert (await ven.client.register()).registration_id == registration_id
    ven.client.ven_name = "another name"
    assert (await ven.client.register()).registration_id == registration_id
    assert op.api("GET", "vens", ven.client.ven_id or "")["ven_name"] == "another name"
    assert isinstance(await ven.poll(), OadrRegisterReport)


@proves("10-cancel-by-ven")
@scenario
async def test_a_ven_cancels_its_registration(op: Operator) -> None:
    ven = await op.ven()
    assert code(await ven.client.cancel_registration()) == "200"
    assert not op.api("GET", "vens", name(ven))["registered"]
    assert code(await ven.client.poll()) == "463"


@proves("10-cancel-by-vtn")
@scenario
async def test_the_operator_cancels_a_registration(op: Operator) -> None:
    ven = await op.ven()
    op.api("POST", "vens", name(ven), "cancel-registration")
    asked = await brings(ven, OadrCancelPartyRegistration)
    assert asked.ven_id == name(ven)
    assert not op.api("GET", "vens", name(ven))["registered"]
    assert code(await ven.client.poll()) == "463"
    ven.client.registration_id = None
    assert code(await ven.client.register()) == "200"


@proves("10-reregister-by-vtn")
@scenario
async def test_the_operator_has_a_ven_register_again(op: Operator) -> None:
    ven = await op.ven()
    registration_id = ven.client.registration_id
    op.api("POST", "vens", name(ven), "request-reregistration")
    assert (await brings(ven, OadrRequestReregistration)).ven_id == name(ven)
    assert not ven.registered
    await ven.register()
    assert ven.client.registration_id == registration_id
    assert [type(message) for message in await drain(ven)] == [OadrRegisterReport]


@proves("10-cancel-wrong")
@scenario
async def test_a_wrong_registration_id_cancels_nothing(op: Operator) -> None:
    ven = await op.ven()
    right, ven.client.registration_id = ven.client.registration_id, "wrong"
    refused = await ven.client.cancel_registration()
    assert (refused.name(), code(refused)) == ("oadrCanceledPartyRegistration", "452")
    assert code(await ven.client.register()) == "452"
    ven.client.registration_id = right
    assert code(await ven.client.poll()) == "200"


@proves("10-unregistered")
@scenario
async def test_no_service_serves_a_ven_without_a_registration(op: Operator) -> None:
    ven = op.stranger()
    for each in ("oadrPoll", "oadrRequestEvent", "oadrRegisterReport", "oadrCreateOpt", "oadrCancelPartyRegistration"):
        assert code(await ven.client.send(made(each))) == "463"


# --- events ---------------------------------------------------------------------------------------------


@proves("10-event-none")
@scenario
async def test_without_events_an_empty_answer_comes(op: Operator) -> None:
    ven = await op.ven()
    assert await ask(ven) == []
    assert await drain(ven) == []


@proves("10-event-lengthened")
@scenario
async def test_a_pending_event_for_two_resources_is_lengthened(op: Operator) -> None:
    ven = await op.ven()
    resources = op.resources(ven)
    target = {"ven_ids": [name(ven)], "resource_ids": resources}
    event_id = op.event(ven, target=target, signals=[{"intervals": [{"duration": "PT5M", "value": 1}]}])
    [brought] = await drain(ven)
    assert [*brought.events[0].event.target.resource_ids] == resources
    assert op.ledger(ven, event_id) == [(0, "opted", "optIn")]
    op.api("PATCH", "events", event_id, signals=[{"intervals": [{"duration": "PT10M", "value": 1}]}])
    [brought] = await drain(ven)
    event = brought.events[0].event
    assert (event.descriptor.modification_number, str(event.active_period.properties.duration)) == (1, "PT10M")
    assert op.ledger(ven, event_id)[1] == (1, "opted", "optIn")


@proves("10-event-setpoint")
@scenario
async def test_a_load_is_dispatched_to_a_setpoint(op: Operator) -> None:
    ven = await op.ven()
    unit = {"name": "powerReal", "item_units": "W", "si_scale_code": "k",
            "power_attributes": {"hertz": 50, "voltage": 230, "ac": True}}  # fmt: skip
    signal = {"signal_name": "LOAD_DISPATCH", "signal_type": "setpoint", "item_base": unit}
    op.event(ven, dtstart="+1m", signals=[{**signal, "intervals": [{"duration": "PT5M", "value": 40}]}])
    [brought] = await drain(ven)
    [shown] = brought.events[0].event.event_signals.signals
    assert (shown.signal_name, shown.signal_type, values(shown)) == ("LOAD_DISPATCH", "setpoint", [40.0])
    assert isinstance(shown.item_base, PowerReal)


@proves("10-event-prices-baseline")
@scenario
async def test_prices_come_with_the_baseline_of_the_day_before(op: Operator) -> None:
    ven = await op.ven()
    resources = op.resources(ven)

    def hours(*prices: float) -> list[dict[str, Any]]:
        return [{"duration": "PT1H", "value": price} for price in prices]

    baseline = {"baseline_id": "b", "baseline_name": "yesterday", "dtstart": "-1d", "duration": "PT2H",
                "intervals": hours(3.05, 3.08), "resource_ids": resources, "item_base": PRICE["item_base"]}  # fmt: skip
    op.event(ven, signals=[{**PRICE, "intervals": hours(3.14, 3.17)}], baseline=baseline)
    [brought] = await drain(ven)
    signals = brought.events[0].event.event_signals
    assert values(signals.signals[0]) == [3.14, 3.17]
    assert (values(signals.baseline), [*signals.baseline.resource_ids]) == ([3.05, 3.08], resources)
    assert signals.baseline.dtstart < instant(reactor) - timedelta(hours=23)


@proves("10-event-several")
@scenario
async def test_several_events_come_at_once(op: Operator) -> None:
    ven = await op.ven()
    simple = op.event(ven, signals=[{"intervals": [{"duration": "PT1H", "value": 2}]}])
    other = op.event(ven, dtstart="+3h", signals=[{**PRICE, "intervals": [{"duration": "PT1H", "value": 3.14}]}])
    [brought] = await drain(ven)
    assert [one.event.descriptor.event_id for one in brought.events] == [simple, other]
    assert [values(one.event.event_signals.signals[0]) for one in brought.events] == [[2.0], [3.14]]


@proves("10-event-active")
@scenario
async def test_an_event_is_active_at_once(op: Operator) -> None:
    ven = await op.ven()
    op.event(ven, dtstart="now")
    [brought] = await drain(ven)
    event = brought.events[0].event
    assert (event.descriptor.event_status, event.event_signals.signals[0].current_value) == ("active", 1.0)


@proves("10-event-intervals")
@scenario
async def test_an_event_has_three_intervals_ramp_up_recovery_and_startafter(op: Operator) -> None:
    ven = await op.ven()
    steps = [{"duration": "PT1M", "value": value} for value in (1, 2, 3)]
    op.event(ven, signals=[{"intervals": steps}], ramp_up="PT1M", recovery="PT1M", startafter="PT1M")
    [brought] = await drain(ven)
    event = brought.events[0].event
    period = event.active_period.properties
    lengths = (period.duration, period.ramp_up, period.recovery, period.startafter)
    assert [str(length) for length in lengths] == ["PT3M", "PT1M", "PT1M", "PT1M"]
    assert values(event.event_signals.signals[0]) == [1.0, 2.0, 3.0]


@proves("10-event-targets")
@scenario
async def test_the_targets_that_concern_a_ven_are_sent(op: Operator) -> None:
    ven, other = await op.ven(), await op.ven()
    op.api("PATCH", "vens", name(ven), "traits", party_ids=["party"], pnodes=["node"])
    group = op.api("POST", "groups", name=f"group of {name(ven)}", ven_ids=[name(ven)])["group_id"]
    target = {"party_ids": ["party"], "pnodes": ["node"], "group_ids": [group], "ven_ids": [name(other)]}
    op.event(target=target)
    [mine], [theirs] = await drain(ven), await drain(other)
    shown = mine.events[0].event.target
    assert (shown.party_ids, shown.pnodes, shown.group_ids, shown.ven_ids) == (("party",), ("node",), (group,), ())
    assert theirs.events[0].event.target.ven_ids == (name(other),)
    assert theirs.events[0].event.target.party_ids == ()


@proves("10-event-in-and-out")
@scenario
async def test_one_event_is_opted_in_to_and_another_out_of(op: Operator) -> None:
    ven = await op.ven(decide=lambda event: "optIn" if (event.descriptor.priority or 0) == 1 else "optOut")
    yes, no = op.event(ven, priority=1), op.event(ven, dtstart="+3h")
    await drain(ven)
    assert (op.ledger(ven, yes), op.ledger(ven, no)) == ([(0, "opted", "optIn")], [(0, "opted", "optOut")])


@proves("10-event-late-opt-out")
@scenario
async def test_an_opt_out_comes_later(op: Operator) -> None:
    ven = await op.ven()
    event_id = op.event(ven, dtstart="now")
    await drain(ven)
    assert code(await ven.client.created_event([response(event_id, 0, "optOut")])) == "200"
    assert op.ledger(ven, event_id) == [(0, "opted", "optOut")]
    assert await drain(ven) == []


@proves("10-event-never")
@scenario
async def test_no_answer_is_wanted_also_to_a_modification(op: Operator) -> None:
    ven = await op.ven()
    event_id = op.event(ven, response_required="never")
    for number in (0, 1):
        for _ in range(2):  # sent twice, so that one may be lost
            brought = await brings(ven, OadrDistributeEvent)
            assert brought.events[0].response_required == "never"
            assert brought.events[0].event.descriptor.modification_number == number
        await sleep(1.1)
        assert await drain(ven) == []
        if not number:
            op.api("PATCH", "events", event_id, priority=1)
    assert op.ledger(ven, event_id)[-1] == (1, "acknowledged", None)


@proves("10-event-moved")
@scenario
async def test_a_start_is_moved_by_a_minute(op: Operator) -> None:
    ven = await op.ven()
    event_id = op.event(ven, dtstart="+10m")
    [first] = await drain(ven)
    start = first.events[0].event.active_period.properties.dtstart + timedelta(minutes=1)
    op.api("PATCH", "events", event_id, dtstart=start.isoformat())
    [second] = await drain(ven)
    assert second.events[0].event.active_period.properties.dtstart == start
    assert op.ledger(ven, event_id)[-1] == (1, "opted", "optIn")


@proves("10-event-active-lengthened")
@scenario
async def test_an_active_event_is_lengthened_with_its_last_interval(op: Operator) -> None:
    ven = await op.ven()
    steps = [{"duration": "PT2M", "value": 1}, {"duration": "PT3M", "value": 2}]
    event_id = op.event(ven, dtstart="now", signals=[{"intervals": steps}])
    await drain(ven)
    op.api("PATCH", "events", event_id, signals=[{"intervals": [steps[0], {"duration": "PT4M", "value": 2}]}])
    [brought] = await drain(ven)
    event = brought.events[0].event
    shown = (event.descriptor.event_status, str(event.active_period.properties.duration))
    assert shown == ("active", "PT6M")


@proves("10-event-cancel-pending")
@scenario
async def test_a_pending_event_is_cancelled_and_acknowledged_either_way(op: Operator) -> None:
    for said in ("optIn", "optOut"):
        ven = await op.ven()
        event_id = op.event(ven)
        await drain(ven)
        op.api("POST", "events", event_id, "cancel")
        brought = await ven.client.poll()
        assert brought.events[0].event.descriptor.event_status == "cancelled"
        assert code(await ven.client.created_event([response(event_id, 1, said)])) == "200"
        assert await drain(ven) == []
        assert await ask(ven) == []


@proves("10-event-cancel-active")
@scenario
async def test_an_active_event_is_cancelled_with_an_answer_and_without(op: Operator) -> None:
    ven = await op.ven()
    active = op.event(ven, dtstart="now")
    quiet = op.event(ven, dtstart="now", response_required="never", market_context="http://example.com/quiet")
    await drain(ven)
    for event_id in (active, quiet):
        op.api("POST", "events", event_id, "cancel")
    brought = await brings(ven, OadrDistributeEvent)
    assert {one.event.descriptor.event_status for one in brought.events} == {"cancelled"}
    assert op.ledger(ven, active)[-1] == (1, "opted", "optIn")
    await brings(ven, OadrDistributeEvent)
    await sleep(1.1)
    assert await drain(ven) == []
    assert op.ledger(ven, quiet)[-1][:2] == (1, "acknowledged")


@proves("10-event-order")
@scenario
async def test_events_of_two_market_contexts_come_in_their_order(op: Operator) -> None:
    ven = await op.ven()
    second = op.event(ven, dtstart="now", priority=2)
    first = op.event(ven, dtstart="now", priority=1, market_context="http://example.com/other")
    later = op.event(ven, dtstart="+5h", priority=1)
    sooner = op.event(ven, dtstart="+3h", market_context="http://example.com/other")
    lowest = op.event(ven, dtstart="now", market_context="http://example.com/third")
    shown = [event.descriptor.event_id for event in await ask(ven)]
    assert shown == [first, second, lowest, sooner, later]


@proves("10-event-far-near-active")
@scenario
async def test_an_event_is_far_near_and_active(op: Operator) -> None:
    ven = await op.ven()
    event_id = op.event(ven, dtstart="+4s", ramp_up="PT2S")
    await drain(ven)
    seen: list[str] = []

    for _ in range(80):
        status = (await sees(ven, event_id)).descriptor.event_status
        if status not in seen:
            seen.append(status)
        if status == "active":
            break
        await sleep(0.1)
    assert seen == ["far", "near", "active"]
    assert await drain(ven) == []


@proves("10-event-overlap")
@scenario
async def test_events_of_one_market_context_do_not_overlap(op: Operator) -> None:
    ven = await op.ven()
    op.event(ven)
    with pytest.raises(ApiError, match="overlaps"):
        op.event(ven, dtstart="+30m")
    op.event(ven, dtstart="+30m", market_context="http://example.com/other")


@proves("10-event-reply-limit")
@scenario
async def test_a_reply_limit_takes_the_first_of_three(op: Operator) -> None:
    ven = await op.ven()
    ids = [op.event(ven, dtstart=f"+{hours}h") for hours in (1, 3, 5)]
    for limit in (1, 2, 3):
        assert [event.descriptor.event_id for event in await ask(ven, limit)] == ids[:limit]
    [brought] = await drain(ven)
    assert len(brought.events) == 3


@proves("10-event-added")
@scenario
async def test_a_second_event_comes_with_the_first(op: Operator) -> None:
    ven = await op.ven()
    first = op.event(ven)
    await drain(ven)
    second = op.event(ven, dtstart="+3h")
    [brought] = await drain(ven)
    assert [one.event.descriptor.event_id for one in brought.events] == [first, second]
    assert {state for event_id in (first, second) for _, state, _ in op.ledger(ven, event_id)} == {"opted"}


@proves("10-event-wrong-ids")
@scenario
async def test_wrong_ids_in_an_answer_have_their_codes(op: Operator) -> None:
    ven = await op.ven()
    event_id = op.event(ven)
    await ven.client.poll()
    assert code(await ven.client.created_event([response("wrong", 0)])) == "452"
    assert code(await ven.client.created_event([response(event_id, 7)])) == "450"
    right, ven.client.ven_id = ven.client.ven_id, "wrong"
    assert code(await ven.client.created_event([response(event_id, 0)])) == "452"
    ven.client.ven_id = right
    assert op.ledger(ven, event_id) == [(0, "offered", None)]


@proves("10-event-ven-id-case")
@scenario
async def test_a_ven_id_in_another_case_is_refused(op: Operator) -> None:
    ven = await op.ven()
    ven.client.ven_id = name(ven).upper()
    assert code(await ven.client.request_event()) == "452"
    assert code(await ven.client.poll()) == "452"


# --- opts -----------------------------------------------------------------------------------------------


def periods(*spans: tuple[int, str]) -> list[Properties]:
    """Periods: hours from now, and a duration."""
    now = instant(reactor).replace(microsecond=0)
    return [Properties(dtstart=now + timedelta(hours=hours), duration=Duration(length)) for hours, length in spans]


def timeline(op: Operator, ven: SimulatedVen) -> list[tuple[str, bool]]:
    """What the operator reads of a VEN's opts: optType, and whether the period has an end."""
    client = Client.of(load(op.vtn.config))
    told = client.call("GET", "vens", name(ven), "opts", query={"until": "+2d"})["opts"]
    return [(period["opt_type"], period["end"] is not None) for period in told]


@proves("10-opt-schedule")
@scenario
async def test_a_schedule_of_several_periods_is_kept_until_it_is_cancelled(op: Operator) -> None:
    ven = await op.ven()
    schedule = periods((1, "PT1H"), (3, "PT1H"), (5, "PT0S"))
    created = await ven.client.create_opt("optOut", "notParticipating", available=schedule, opt_id="away")
    assert (code(created), created.opt_id) == ("200", "away")
    assert timeline(op, ven) == [("optOut", True), ("optOut", True), ("optOut", False)]
    assert code(await ven.client.cancel_opt("away")) == "200"
    assert timeline(op, ven) == []


@proves("10-opt-revised")
@scenario
async def test_the_same_opt_id_brings_a_revised_schedule(op: Operator) -> None:
    ven = await op.ven()
    await ven.client.create_opt("optOut", "economic", available=periods((1, "PT1H"), (3, "PT1H")), opt_id="away")
    created = await ven.client.create_opt("optIn", "economic", available=periods((2, "PT1H")), opt_id="away")
    assert code(created) == "200"
    assert timeline(op, ven) == [("optIn", True)]


@proves("10-opt-event")
@scenario
async def test_an_opt_on_an_event_outranks_the_answer(op: Operator) -> None:
    ven = await op.ven()
    event_id = op.event(ven)
    await drain(ven)
    event = QualifiedEventID(event_id=event_id, modification_number=0)
    assert code(await ven.client.create_opt("optOut", "emergency", event=event, opt_id="no")) == "200"
    assert code(await ven.client.created_event([response(event_id, 0)])) == "200"
    assert op.ledger(ven, event_id) == [(0, "opted", "optOut")]
    assert code(await ven.client.cancel_opt("no")) == "200"
    assert op.ledger(ven, event_id) == [(0, "opted", "optIn")]


@proves("10-opt-resource")
@scenario
async def test_the_opt_of_a_resource_is_shown_and_is_not_that_of_the_ven(op: Operator) -> None:
    ven = await op.ven()
    resource = f"{name(ven)}_site"  # it stands in the VEN's METADATA
    event_id = op.event(ven)
    await drain(ven)
    event = QualifiedEventID(event_id=event_id, modification_number=0)

    def opts_out(resource_id: str) -> Deferred[Any]:
        return ven.client.create_opt("optOut", "overrideStatus", event=event, resource_ids=[resource_id])

    assert code(await opts_out(resource)) == "200"
    assert op.ledger(ven, event_id) == [(0, "opted", "optIn")]
    [told] = op.api("GET", "events", event_id)["opts"]
    assert (told["opt_type"], told["resource_ids"]) == ("optOut", [resource])
    assert code(await opts_out("theirs")) == "452"


@proves("10-opt-unknown")
@scenario
async def test_an_opt_that_is_not_known_cannot_be_cancelled(op: Operator) -> None:
    ven = await op.ven()
    canceled = await ven.client.cancel_opt("nothing")
    assert (canceled.name(), code(canceled), canceled.opt_id) == ("oadrCanceledOpt", "452", "nothing")


# --- reports of the VEN ---------------------------------------------------------------------------------


def once(specifier: str, *r_ids: str) -> dict[str, Any]:
    """One report."""
    return {"report_specifier_id": specifier, "r_ids": [*r_ids]}


def each_second(specifier: str, *r_ids: str, back: str = "1s", **more: Any) -> dict[str, Any]:
    """A report with a sample for each second."""
    return {**once(specifier, *r_ids), "granularity": "1s", "report_back_duration": back, **more}


@proves("10-report-status-once")
@scenario
async def test_the_status_is_reported_once(op: Operator) -> None:
    ven = await op.ven()
    [request] = op.request(ven, once(STATUS))
    await drain(ven)
    await ven.report()
    assert (op.state(request), ven.pending_reports) == ("done", ())
    assert [row[0] for row in op.readings(request)] == ["status"]
    [state] = op.api("GET", "vens", name(ven), "states")["states"]
    assert (state["online"], state["manual_override"]) == (True, False)


@proves("10-report-status-periodic")
@scenario
async def test_the_status_is_reported_periodically_from_now_and_from_later_on(op: Operator) -> None:
    ven = await op.ven()
    now, later = op.request(ven, each_second(STATUS, back="2s"), each_second(STATUS, back="2s", dtstart="+2s"))
    await drain(ven)
    while len(op.readings(later)) < 2:
        await ven.report()
    assert len(op.readings(now)) in (2, 4)  # two samples in each report
    assert op.readings(later)[0][1] > op.readings(now)[0][1] + 10**6
    assert {op.state(now), op.state(later)} == {"accepted"}


@proves("10-report-cancel")
@scenario
async def test_a_report_is_cancelled(op: Operator) -> None:
    ven = await op.ven()
    [request] = op.request(ven, each_second(USAGE))
    await drain(ven)
    await ven.report()
    op.cancel(ven, request)
    asked = await brings(ven, OadrCancelReport)
    assert (asked.report_request_ids, asked.report_to_follow) == ((request,), False)
    assert (ven.pending_reports, op.state(request)) == ((), "cancelled")


@proves("10-report-cancel-follow")
@scenario
async def test_a_last_report_follows_a_cancellation(op: Operator) -> None:
    ven = await op.ven()
    [request] = op.request(ven, each_second(USAGE))
    await drain(ven)
    await ven.report()
    before = len(op.readings(request))
    op.cancel(ven, request, follow=True)
    assert (await brings(ven, OadrCancelReport)).report_to_follow
    await ven.report()
    assert len(op.readings(request)) > before
    assert (ven.pending_reports, op.state(request)) == ((), "cancelled")


@proves("10-report-metadata")
@scenario
async def test_metadata_is_asked_for_once_and_periodically(op: Operator) -> None:
    ven = await op.ven()
    versions = "SELECT count(*) FROM capabilities WHERE ven_id = ?"
    registered = "SELECT state FROM report_requests WHERE report_request_id = ?"
    [single] = op.request(ven, once(METADATA))
    await drain(ven)
    assert not ven.pending_reports
    [periodic] = op.request(ven, {**once(METADATA), "report_back_duration": "1s"})
    await drain(ven)
    assert ven.pending_reports == (periodic,)
    for _ in range(2):
        await ven.report()
    assert op.vtn.rows(versions, name(ven)) == [(1,)], "the same METADATA is the same version"
    assert op.vtn.rows(registered, periodic) == [("accepted",)]
    assert op.state(single) == "done"
    op.cancel(ven, periodic)
    await brings(ven, OadrCancelReport)
    assert not ven.pending_reports


@proves("10-report-history")
@scenario
async def test_history_is_asked_for_in_full_and_for_a_window(op: Operator) -> None:
    ven = await op.ven()
    minutes = {"granularity": "1m"}
    window, whole = op.request(
        ven,
        {**once(HISTORY, "power"), **minutes, "dtstart": "-30m", "duration": "PT30M"},
        {**once(HISTORY, "power"), **minutes, "dtstart": "now"},
    )
    await drain(ven)
    while ven.pending_reports:
        await ven.report()
    assert (len(op.readings(window)), len(op.readings(whole))) == (30, 60)
    assert {op.state(window), op.state(whole)} == {"done"}


@proves("10-report-usage")
@scenario
async def test_usage_is_reported_once_and_periodically(op: Operator) -> None:
    ven = await op.ven()
    single, periodic = op.request(ven, once(USAGE, "power"), each_second(USAGE, duration="PT2S"))
    await drain(ven)
    while ven.pending_reports:
        await ven.report()
    assert (len(op.readings(single)), len(op.readings(periodic))) == (1, 4)  # two rIDs for two seconds
    assert all(value is not None for *_, value in op.readings(periodic))
    assert op.state(single) == "done"


@proves("10-report-on-change")
@scenario
async def test_the_status_is_reported_when_it_is_another(op: Operator) -> None:
    ven = await op.ven(decide=lambda event: "optOut")
    [request] = op.request(ven, {**once(STATUS), "granularity": "0s", "report_back_duration": "1s"})
    await drain(ven)
    for _ in range(2):
        await ven.report()
    assert len(op.readings(request)) == 1
    op.event(ven, dtstart="now")
    await drain(ven)
    for _ in range(2):
        await ven.report()
    assert len(op.readings(request)) == 2
    [state] = op.api("GET", "vens", name(ven), "states")["states"]
    assert state["manual_override"]


@proves("10-report-endless")
@scenario
async def test_an_endless_report_goes_on_until_it_is_cancelled(op: Operator) -> None:
    ven = await op.ven()
    [request] = op.request(ven, each_second(USAGE, "power"))
    [asked] = await drain(ven)
    window = asked.report_requests[0].report_specifier.report_interval
    assert not window.duration
    for _ in range(2):
        await ven.report()
    assert len(op.readings(request)) >= 2
    op.cancel(ven, request)
    await ven.report()  # the cancel is in the answer to it, or in the next poll
    await drain(ven)
    assert (ven.pending_reports, op.state(request)) == ((), "cancelled")


@proves("10-report-two")
@scenario
async def test_two_requests_come_in_one_message(op: Operator) -> None:
    ven = await op.ven()
    both = op.request(ven, once(USAGE), once(STATUS))
    [asked] = await drain(ven)
    assert isinstance(asked, OadrCreateReport)
    assert [one.report_request_id for one in asked.report_requests] == both
    while ven.pending_reports:
        await ven.report()
    assert [op.state(request) for request in both] == ["done", "done"]


# --- reports of the VTN ---------------------------------------------------------------------------------


def of_the_vtn(
    request: str, specifier: str = "grid", back: str = "PT0S", r_id: str = "frequency", granularity: str = "PT1S"
) -> OadrReportRequest:
    """What a VEN wants of the VTN."""
    endless = Properties(dtstart=instant(reactor).replace(microsecond=0), duration=Duration("PT0S"))
    return OadrReportRequest(
        report_request_id=request,
        report_specifier=ReportSpecifier(
            report_specifier_id=specifier,
            granularity=Duration(granularity),
            report_back_duration=Duration(back),
            report_interval=endless if back != "PT0S" else None,
            specifier_payloads=(SpecifierPayload(r_id=r_id, reading_type="x-notApplicable"),),
        ),
    )


@proves("10-vtn-report-once")
@scenario
async def test_the_vtn_reports_once(op: Operator) -> None:
    ven = await op.ven()
    created = await ven.client.create_report(of_the_vtn("q"))
    assert (created.name(), code(created), created.pending_reports) == ("oadrCreatedReport", "200", ("q",))
    [report] = (await brings(ven, OadrUpdateReport)).reports
    assert (report.report_request_id, report.report_specifier_id) == ("q", "grid")
    assert report.report_name == "TELEMETRY_USAGE"
    assert report.intervals[-1].payloads[0].payload.value == 50.0


@proves("10-vtn-report-periodic")
@scenario
async def test_the_vtn_reports_periodically_until_the_ven_cancels(op: Operator) -> None:
    ven = await op.ven()
    assert code(await ven.client.create_report(of_the_vtn("q", back="PT2S"))) == "200"
    await brings(ven, OadrUpdateReport)
    canceled = await ven.client.cancel_report("q")
    assert (canceled.name(), code(canceled), canceled.pending_reports) == ("oadrCanceledReport", "200", ())
    await drain(ven)
    assert code(await ven.client.cancel_report("nothing")) == "452"


@proves("10-vtn-report-metadata")
@scenario
async def test_the_vtn_offers_its_reports_again_once_and_periodically(op: Operator) -> None:
    ven = await op.ven()
    created = await ven.client.create_report(of_the_vtn("m", METADATA, r_id="x", granularity="PT0S"))
    assert code(created) == "200"
    assert (await brings(ven, OadrRegisterReport)).reports[0].report_specifier_id == "grid"
    created = await ven.client.create_report(of_the_vtn("p", METADATA, back="PT2S", r_id="x", granularity="PT0S"))
    assert (code(created), created.pending_reports) == ("200", ("p",))
    await brings(ven, OadrRegisterReport)
    assert code(await ven.client.cancel_report("p")) == "200"


@proves("10-vtn-report-two")
@scenario
async def test_the_vtn_lists_all_that_is_pending(op: Operator) -> None:
    ven = await op.ven()
    created = await ven.client.create_report(of_the_vtn("q", back="PT1M"), of_the_vtn("s", back="PT1M"))
    assert created.pending_reports == ("q", "s")
    created = await ven.client.create_report(of_the_vtn("u", back="PT1M"))
    assert {*created.pending_reports} == {"q", "s", "u"}
    assert {*(await ven.client.cancel_report("s")).pending_reports} == {"q", "u"}


@proves("10-vtn-report-unknown")
@scenario
async def test_the_vtn_refuses_what_it_does_not_offer(op: Operator) -> None:
    ven = await op.ven()
    assert code(await ven.client.create_report(of_the_vtn("q", "nothing"))) == "452"
    assert code(await ven.client.create_report(of_the_vtn("q", r_id="nothing"))) == "452"
    assert code(await ven.client.create_report(of_the_vtn("q", back="PT3H", granularity="PT48H"))) == "461"


# --- security -------------------------------------------------------------------------------------------


@proves("10-security-chains")
@scenario
async def test_certificates_of_both_kinds_are_served(op: Operator) -> None:
    for rsa in (False, True):
        ven = await op.ven(rsa=rsa)
        assert code(await ven.client.query()) == "200"


async def fails(client: VenClient) -> None:
    """No exchange is possible."""
    try:
        await client.query()
    except Unreachable:
        return
    raise AssertionError("it was let in")


@proves("10-security-no-certificate")
@scenario
async def test_without_a_certificate_nobody_is_served(op: Operator) -> None:
    await fails(op.client(op.policy(None), "nobody"))


@proves("10-security-wrong-certificate")
@scenario
async def test_the_certificate_of_another_authority_is_refused_and_one_that_is_not_known_is_463(op: Operator) -> None:
    foreign = Authority.create("another CA").issue_client("foreign")
    await fails(op.client(op.policy(foreign), "foreign"))
    unknown = op.client(op.policy(op.vtn.issue("unknown", listed=False)), "unknown")
    assert code(await unknown.register()) == "463"
