"""openleadr's VEN, a program of its own, over mutual TLS against ``twistd oadrvtn``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from tests.integration.process import Program, Programs, Vtn, programs_of_a_test, until
from tests.peers import openleadr

Note = dict[str, Any]

EVENT = {
    "market_context": "http://example.com/interop",
    "dtstart": "now",
    "signals": [{"intervals": [{"duration": "PT1H", "value": 2}]}],
}


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest.fixture
def vtn(tmp_path: Path, programs: Programs) -> Vtn:
    vtn = Vtn.make(tmp_path, programs)
    vtn.issue("ec-ven")
    vtn.issue("rsa-ven", rsa=True)
    return vtn


class Ven(Program):
    """The VEN's process; ``notes`` are its exchanges that are over, in their order."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.notes: list[Note] = []
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        super().outReceived(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        # openleadr prints as well.
        self.notes += [json.loads(line) for line in lines if line.startswith(b"{")]

    def errReceived(self, data: bytes) -> None:
        super().outReceived(data)

    @classmethod
    def start(cls, vtn: Vtn, name: str, **options: Any) -> Ven:
        """Start it with its certificate; it registers and goes on by itself."""
        certs = vtn.certs
        options |= {
            "name": name,
            "url": f"https://localhost:{vtn.port}/OpenADR2/Simple/2.0b",
            "cert": str(certs / f"{name}.crt"),
            "key": str(certs / f"{name}.key"),
            "ca": str(certs / "ca.crt"),
        }
        script = Path(__file__).with_name("openleadr_ven.py")
        ven = cls(name)
        vtn.programs.start(openleadr().python, script, json.dumps(options), cwd=vtn.directory, program=ven)
        return ven

    async def does(self, method: str, *arguments: object) -> Note:
        """Have it call a method of the client; the exchange that this was."""
        before = len(self.notes)
        assert self.transport
        self.transport.write(json.dumps([method, *arguments]).encode() + b"\n")
        return await self.notes_that(f"{method} is done", after=before, by=method)

    async def notes_that(self, what: str, after: int = 0, **values: object) -> Note:
        """The first note, past so many, that has these values."""

        def look() -> Note | None:
            assert self.running, f"{self.name} ended"
            return next((note for note in self.notes[after:] if values.items() <= note.items()), None)

        return await until(f"{self.name}: {what}", look)

    async def exchanges(self, sent: str, got: str, after: int = 0) -> Note:
        """The first exchange of these two messages; its answer is a good one."""
        note = await self.notes_that(f"{sent} -> {got}", after=after, sent=sent, got=got)
        assert note["code"] in ("200", ""), note
        return note

    async def gets_events(self, event_id: str, modification_number: str) -> Note:
        """The first poll that brings this version of an event."""

        def look() -> Note | None:
            polls = (note for note in self.notes if note["sent"] == "oadrPoll")
            wanted = [event_id, modification_number]
            return next((note for note in polls if any(event[:2] == wanted for event in note["events"])), None)

        return await until(f"{self.name} gets event {event_id}, modification {modification_number}", look)

    async def answers(self, event_id: str, modification_number: str, opt_type: str) -> None:
        """It said this of an event, and was heard."""
        answer = [event_id, modification_number, opt_type]

        def look() -> bool:
            said = (note for note in self.notes if note["sent"] == "oadrCreatedEvent" and note["code"] == "200")
            return any(answer in note["answers"] for note in said)

        await until(f"{self.name} says {opt_type} to event {event_id}, modification {modification_number}", look)

    @property
    def acknowledged_readings(self) -> set[tuple[str, str, float]]:
        """(report request, rID, value) of what the VTN said it has."""
        return {
            tuple(reading)
            for note in self.notes
            if note["got"] == "oadrUpdatedReport" and note["code"] == "200"
            for reading in note["readings"]
        }

    def needless_distributions(self) -> list[Note]:
        """Polls that brought events though each one of them was answered."""
        answered: set[tuple[str, str]] = set()
        needless = []
        for note in self.notes:
            if note["sent"] == "oadrCreatePartyRegistration":
                answered.clear()
            if note["sent"] == "oadrCreatedEvent" and note["code"] == "200":
                answered.update((event_id, number) for event_id, number, _ in note["answers"])
            brought = {(event_id, number) for event_id, number, _ in note["events"]}
            if note["sent"] == "oadrPoll" and note["got"] == "oadrDistributeEvent" and brought <= answered:
                needless.append(note)
        return needless


def stored_readings(vtn: Vtn, ven_id: str) -> set[tuple[str, str, float]]:
    return {*vtn.rows("SELECT report_request_id, r_id, value FROM readings WHERE ven_id = ?", ven_id)}


def ledger(vtn: Vtn, ven_id: str, event_id: str) -> list[tuple[Any, ...]]:
    query = "SELECT modification_number, state, opt_type FROM ledger WHERE ven_id = ? AND event_id = ? ORDER BY 1"
    return vtn.rows(query, ven_id, event_id)


def registration_id(vtn: Vtn, ven_id: str) -> str | None:
    return vtn.rows("SELECT registration_id FROM vens WHERE ven_id = ?", ven_id)[0][0]


async def registers_and_reports(vtn: Vtn, ven: Ven) -> None:
    """Query, registration, both sides' METADATA, and data that arrives."""
    query = await ven.exchanges("oadrQueryRegistration", "oadrCreatedPartyRegistration")
    await ven.exchanges("oadrCreatePartyRegistration", "oadrCreatedPartyRegistration")
    assert ven.notes[0] is query
    offered = await ven.exchanges("oadrRegisterReport", "oadrRegisteredReport")
    assert len(offered["requests"]) == 1
    await ven.exchanges("oadrCreatedReport", "oadrResponse")
    await ven.exchanges("oadrRequestEvent", "oadrDistributeEvent")
    first_poll = await ven.notes_that("polls", sent="oadrPoll")
    assert first_poll["got"] == "oadrRegisterReport"
    await ven.exchanges("oadrRegisteredReport", "oadrResponse")
    await ven.exchanges("oadrPoll", "oadrResponse")
    await ven.exchanges("oadrUpdateReport", "oadrUpdatedReport")
    readings = ven.acknowledged_readings
    assert {request for request, _, _ in readings} == set(offered["requests"])
    assert readings <= stored_readings(vtn, ven.name)


async def answers_an_event(vtn: Vtn, ven: Ven) -> None:
    """An event that it opts in to, its modification, which it opts out of, its opts, and the cancellation."""
    event_id = vtn.api("POST", "events", **EVENT, target={"ven_ids": [ven.name]})["event_id"]
    assert [event_id, "0", "active"] in (await ven.gets_events(event_id, "0"))["events"]
    await ven.answers(event_id, "0", "optIn")
    assert ledger(vtn, ven.name, event_id) == [(0, "opted", "optIn")]

    vtn.api("PATCH", "events", event_id, priority=1)
    await ven.answers(event_id, "1", "optOut")
    assert ledger(vtn, ven.name, event_id)[1:] == [(1, "opted", "optOut")]

    for method, *arguments in (("opt_out_for_an_hour",), ("opt_in_to", event_id, 1)):
        done = await ven.does(method, *arguments)
        assert (done["got"], done["code"]) == ("oadrCreatedOpt", "200")
    opts = "SELECT opt_id, event_id, opt_type FROM opts WHERE ven_id = ? AND cancelled_at IS NULL ORDER BY 1"
    assert vtn.rows(opts, ven.name) == [("away", None, "optOut"), ("this-one", event_id, "optIn")]
    assert ledger(vtn, ven.name, event_id)[1:] == [(1, "opted", "optIn")]
    for opt_id in ("away", "this-one"):
        done = await ven.does("cancel_opt", opt_id)
        assert (done["got"], done["code"]) == ("oadrCanceledOpt", "200")
    assert vtn.rows(opts, ven.name) == []

    vtn.api("POST", "events", event_id, "cancel")
    assert [event_id, "2", "cancelled"] in (await ven.gets_events(event_id, "2"))["events"]
    await ven.answers(event_id, "2", "optOut")
    after = len(ven.notes)
    await ven.exchanges("oadrPoll", "oadrResponse", after=after)
    assert (await ven.does("request_event"))["events"] == []


def request_state(vtn: Vtn, report_request_id: str) -> str:
    [(state,)] = vtn.rows("SELECT state FROM report_requests WHERE report_request_id = ?", report_request_id)
    return str(state)


async def reports_on_demand(vtn: Vtn, ven: Ven) -> None:
    """One report, then one each second until it is cancelled, beside what is wanted of every VEN."""
    [standing] = {request for note in ven.notes for request in note["requests"]}

    def ask(**more: Any) -> str:
        wish = {"report_specifier_id": "usage", **more}
        [made] = vtn.api("POST", "vens", ven.name, "requests", requests=[wish])["report_requests"]
        return str(made["report_request_id"])

    def readings(request: str) -> int:
        return sum(one == request for one, *_ in ven.acknowledged_readings)

    once = ask()
    await until("the one report is there", lambda: request_state(vtn, once) == "done")
    periodic = ask(granularity="1s", report_back_duration="1s")
    await until("two reports are there", lambda: readings(periodic) > 1)
    assert request_state(vtn, periodic) == "accepted"

    after = len(ven.notes)
    vtn.api("POST", "vens", ven.name, "requests", "cancel", report_request_ids=[periodic])
    await ven.exchanges("oadrPoll", "oadrCancelReport", after=after)
    await ven.exchanges("oadrCanceledReport", "oadrResponse", after=after)
    assert request_state(vtn, periodic) == "cancelled"
    goes_on = readings(standing)
    await until("what was under way has arrived", lambda: readings(standing) > goes_on)
    sent, goes_on = readings(periodic), readings(standing)
    await until("what is wanted of all goes on", lambda: readings(standing) > goes_on + 1)
    assert (readings(once), readings(periodic)) == (1, sent)
    # It lists as pending only what it was asked for last; its data says that it goes on with the rest.
    assert request_state(vtn, standing) == "accepted"


async def registers_anew_and_is_cancelled(vtn: Vtn, ven: Ven) -> None:
    """It registers again by its registrationID, of itself and when asked to; then the VTN ends the registration."""
    before = registration_id(vtn, ven.name)
    done = await ven.does("create_party_reregistration")
    assert (done["got"], done["code"]) == ("oadrCreatedPartyRegistration", "200")
    await ven.exchanges("oadrPoll", "oadrRegisterReport", after=ven.notes.index(done))
    assert registration_id(vtn, ven.name) == before

    after = len(ven.notes)
    vtn.api("POST", "vens", ven.name, "request-reregistration")
    for sent, got in (
        ("oadrPoll", "oadrRequestReregistration"),
        ("oadrResponse", "oadrResponse"),
        ("oadrCreatePartyRegistration", "oadrCreatedPartyRegistration"),
        ("oadrRegisterReport", "oadrRegisteredReport"),
        ("oadrPoll", "oadrRegisterReport"),
        ("oadrUpdateReport", "oadrUpdatedReport"),
    ):
        await ven.exchanges(sent, got, after=after)
    assert registration_id(vtn, ven.name) == before

    after = len(ven.notes)
    vtn.api("POST", "vens", ven.name, "cancel-registration")
    await ven.exchanges("oadrPoll", "oadrCancelPartyRegistration", after=after)
    await ven.exchanges("oadrCanceledPartyRegistration", "oadrResponse", after=after)
    assert registration_id(vtn, ven.name) is None


async def cancels_its_registration(vtn: Vtn, ven: Ven) -> None:
    done = await ven.does("cancel_party_registration")
    assert (done["got"], done["code"]) == ("oadrCanceledPartyRegistration", "200")
    assert registration_id(vtn, ven.name) is None
    done = await ven.does("poll")
    assert (done["got"], done["code"]) == ("oadrResponse", "463")


def check(ven: Ven, vtn: Vtn) -> None:
    """What holds whatever happened."""
    assert ven.acknowledged_readings <= stored_readings(vtn, ven.name)
    assert ven.needless_distributions() == []
    misunderstood = [note for note in ven.notes if note["got"] != "nothing" and not note["understood"]]
    assert misunderstood == []  # openleadr holds all that it gets against the Alliance's schema


async def a_whole_life(vtn: Vtn, name: str, **options: Any) -> None:
    """All that openleadr's VEN does, from its first registration to its last."""
    first = Ven.start(vtn, name, **options)
    await registers_and_reports(vtn, first)
    await reports_on_demand(vtn, first)
    await answers_an_event(vtn, first)
    await registers_anew_and_is_cancelled(vtn, first)
    check(first, vtn)
    await first.end()
    # This client cannot register again once it was cancelled; its next start can.
    second = Ven.start(vtn, name, **options)
    await registers_and_reports(vtn, second)
    await cancels_its_registration(vtn, second)
    check(second, vtn)
    await second.end()


async def two_whole_lives(vtn: Vtn) -> None:
    """One with an EC certificate; one with an RSA certificate that signs and knows nothing newer than TLS 1.2."""
    lives = a_whole_life(vtn, "ec-ven"), a_whole_life(vtn, "rsa-ven", tls_1_2_only=True, signs=True)
    await gatherResults([Deferred.fromCoroutine(life) for life in lives], consumeErrors=True)
    assert vtn.process
    assert "Traceback" not in vtn.process.output


@pytest_twisted.ensureDeferred
async def test_vens_are_served_from_registration_to_cancellation_and_again_after_a_kill(vtn: Vtn) -> None:
    await vtn.start()
    await two_whole_lives(vtn)
    await vtn.kill()
    await vtn.start()
    await two_whole_lives(vtn)


@pytest_twisted.ensureDeferred
async def test_kills_in_the_middle_lose_nothing_that_was_acknowledged(vtn: Vtn) -> None:
    await vtn.start()
    vens = [Ven.start(vtn, name) for name in ("ec-ven", "rsa-ven")]
    for ven in vens:
        await registers_and_reports(vtn, ven)
    kept = [registration_id(vtn, ven.name) for ven in vens]
    events: list[str] = []

    async def before_anybody_heard_of_the_event(event_id: str) -> None:
        pass

    async def after_the_first_answer(event_id: str) -> None:
        await vens[0].answers(event_id, "0", "optIn")

    async def after_a_report(event_id: str) -> None:
        for ven in vens:
            await ven.answers(event_id, "0", "optIn")
        await vens[1].exchanges("oadrUpdateReport", "oadrUpdatedReport", after=len(vens[1].notes))

    for moment in (before_anybody_heard_of_the_event, after_the_first_answer, after_a_report):
        event = EVENT | {"market_context": f"http://example.com/{len(events)}"}
        events.append(vtn.api("POST", "events", **event)["event_id"])
        await moment(events[-1])
        await vtn.kill()
        marks = [len(ven.notes) for ven in vens]
        await vtn.start()
        for ven, mark in zip(vens, marks, strict=True):
            for event_id in events:
                await ven.answers(event_id, "0", "optIn")
                assert ledger(vtn, ven.name, event_id) == [(0, "opted", "optIn")]
            await ven.exchanges("oadrUpdateReport", "oadrUpdatedReport", after=mark)
            await ven.exchanges("oadrPoll", "oadrResponse", after=mark)
    for ven in vens:
        check(ven, vtn)
        assert len(ven.acknowledged_readings) > len(events)
        # Nobody had to register again, and no answer was a refusal.
        assert [note["sent"] for note in ven.notes].count("oadrCreatePartyRegistration") == 1
        assert {note["code"] for note in ven.notes} <= {"200", ""}
    assert [registration_id(vtn, ven.name) for ven in vens] == kept
