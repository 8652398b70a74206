"""The life of VENs and operators in any order, held against a model that knows what must come of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oadrvtn.model.errors import NotAllowed, OutOfSequence
from oadrvtn.model.event import EiTarget, OadrDistributeEvent, QualifiedEventID
from oadrvtn.model.opt import OadrCancelOpt, OadrCreateOpt
from oadrvtn.model.party import (
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrRequestReregistration,
    OadrResponse,
)
from oadrvtn.model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
)
from oadrvtn.storage import events as rows
from oadrvtn.storage import vens as ven_rows
from oadrvtn.vtn import audience, events, registration, requests
from oadrvtn.vtn.requests import RequestSpec

from .house import START, FakeVen, House, reading, response

VENS = ("ven-1", "ven-2")
TARGETS = {
    "everybody": EiTarget(),
    "one": EiTarget(ven_ids=("ven-1",)),
    "group": EiTarget(group_ids=("g",)),
}
vens = st.sampled_from(VENS)
POLL = 10.0


@attrs.define
class Known:
    """What the model knows of an event."""

    number: int
    target: str
    always: bool
    ends: datetime
    over: bool = False  # cancelled or deleted


@attrs.define
class Side:
    """What the model knows of a VEN."""

    ven: FakeVen
    registered: bool = True
    unanswered: list[Any] = attrs.field(factory=list)  # messages it has, to be answered late or never
    said: dict[tuple[str, int], str | None] = attrs.field(factory=dict)  # what was taken of its answers to events
    opts: dict[str, str] = attrs.field(factory=dict)  # event -> optType by oadrCreateOpt
    newest: dict[str, int] = attrs.field(factory=dict)  # event -> the modification number it has seen
    done: set[str] = attrs.field(factory=set)  # requestIDs of this epoch that need not come again
    last: Any = None  # what it said last, should the answer have been lost


class Life(RuleBasedStateMachine):
    """Two VENs, a group, events, reports, registrations, lost answers, kills and time."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House()
        self.sides = {ven_id: Side(self.house.ven(ven_id)) for ven_id in VENS}
        self.members: set[str] = set()
        self.events: dict[str, Known] = {}
        self.requests: dict[str, str] = {}  # report request -> VEN
        self.written: list[Callable[[], None]] = []
        self.house.write(audience.create_group, "g", "the group", [])
        for ven_id in VENS:
            self.offer_reports(ven_id)

    def teardown(self) -> None:
        """At last the VENs answer all they get: then nothing is left, and nothing more comes."""
        if sys.exc_info()[0] is None:
            for ven_id, side in self.sides.items():
                for _ in range(10):
                    self.burst(ven_id)
                    self.answer_all(ven_id, True)
                    self.house.round()
                if side.registered:
                    assert not self.owed(ven_id), self.owed(ven_id)
                    assert not self.open_lines(ven_id), self.open_lines(ven_id)
                    assert isinstance(side.ven.poll(), OadrResponse)
        self.house.database.stop()

    # --- the model --------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.house.vtn.now()

    def running(self) -> list[str]:
        return [event_id for event_id, known in self.events.items() if not known.over and known.ends > self.now()]

    def meant(self, known: Known) -> set[str]:
        return {"everybody": {*VENS}, "one": {"ven-1"}, "group": self.members}[known.target]

    def owed(self, ven_id: str) -> set[tuple[str, int]]:
        """What the VEN must be offered: running events for it that it has not answered."""
        side = self.sides[ven_id]
        return {
            key
            for event_id in self.running()
            if (known := self.events[event_id]).always
            and ven_id in self.meant(known)
            and (key := (event_id, known.number)) not in side.said
            and (line := self.house.read(rows.line, ven_id, *key)) is not None
            and line.state != "withheld"
        }

    def open_lines(self, ven_id: str) -> list[rows.Line]:
        found = self.house.read(rows.wanted, [ven_id], self.now()).get(ven_id, ())
        return [line for _, line in found if line.wants != "nothing"]

    def open_entries(self, ven_id: str) -> set[str]:
        """The kinds of what waits for the VEN, but for what was offered too often."""
        query = f"SELECT kind FROM outbox WHERE ven_id = '{ven_id}' AND closed_at IS NULL AND offers < 10"
        return {kind for (kind,) in self.house.sql(query)}

    # --- operators --------------------------------------------------------------------------------------

    @rule(
        start=st.integers(-60, 300), minutes=st.integers(2, 20), always=st.booleans(),
        whom=st.sampled_from([*TARGETS]), program=st.sampled_from("ab"),
    )  # fmt: skip
    def create(self, start: int, minutes: int, always: bool, whom: str, program: str) -> None:
        event_id = f"e{len(self.events)}"
        passed = (self.now() - START).total_seconds()
        try:
            event = self.house.event(
                passed + start, event_id=event_id, length=f"PT{minutes}M", target=TARGETS[whom],
                market_context=f"http://example.com/{program}", response_required="always" if always else "never",
            )  # fmt: skip
        except NotAllowed:
            return  # overlaps another
        assert event.modification_number == 0
        assert event.gone_at
        self.events[event_id] = Known(0, whom, always, event.gone_at)

    def pick(self, data: st.DataObject) -> str:
        event_id: str = data.draw(st.sampled_from(self.running()))
        return event_id

    @precondition(lambda self: self.running())
    @rule(data=st.data(), change=st.sampled_from(["priority", "same", *TARGETS, "cancel", "delete"]))
    def change(self, data: st.DataObject, change: str) -> None:
        event_id = self.pick(data)
        if change in ("cancel", "delete"):
            getattr(self, change)(event_id)
        else:
            self.modify(event_id, self.events[event_id], change)

    def modify(self, event_id: str, known: Known, change: str) -> None:
        if change == "priority":
            changes: dict[str, Any] = {"priority": known.number + 1}
        elif change == "same":
            changes = {"target": TARGETS[known.target]}
        else:
            changes = {"target": TARGETS[change]}
        same = change in ("same", known.target)
        try:
            event = self.house.modify(event_id, **changes)
        except NotAllowed:
            return
        assert event.modification_number == known.number + (not same)
        known.number = event.modification_number
        if change in TARGETS:
            known.target = change

    def cancel(self, event_id: str) -> None:
        event = self.house.cancel(event_id)
        assert event.modification_number == self.events[event_id].number + 1
        self.events[event_id].number += 1
        self.events[event_id].over = True

    def delete(self, event_id: str) -> None:
        self.house.write(events.delete, event_id, None)
        self.events[event_id].over = True

    @rule(ven_id=vens)
    def join_or_leave(self, ven_id: str) -> None:
        if ven_id in self.members:
            self.house.write(audience.change_members, "g", [], [ven_id])
            self.members.discard(ven_id)
        else:
            self.house.write(audience.change_members, "g", [ven_id], [])
            self.members.add(ven_id)

    @rule(
        ven_id=vens,
        what=st.sampled_from(["once", "periodic", "stop", "follow", "request_reregistration", "request_cancellation"]),
    )
    def want(self, ven_id: str, what: str) -> None:
        if not self.sides[ven_id].registered:
            return
        if what in ("once", "periodic"):
            self.request_report(ven_id, what == "periodic")
        elif what in ("stop", "follow"):
            self.cancel_report(ven_id, what == "follow")
        else:
            self.house.write(getattr(registration, what), ven_id)

    def request_report(self, ven_id: str, periodic: bool) -> None:
        period = 60.0 if periodic else 0.0
        wish = RequestSpec(report_specifier_id="usage", granularity=60.0, report_back_duration=period)
        for request in self.house.write(requests.request, ven_id, [wish]):
            self.requests[request.report_request_id] = ven_id

    def cancel_report(self, ven_id: str, follow: bool) -> None:
        for request in [request for request, owner in self.requests.items() if owner == ven_id]:
            try:
                self.house.write(requests.cancel, ven_id, [request], follow)
            except NotAllowed:
                continue  # it is over
            return

    # --- VENs: what they hear ---------------------------------------------------------------------------

    def heard(self, ven_id: str, reply: Any, open_before: list[rows.Line]) -> None:
        """What holds for everything that a VEN hears."""
        side = self.sides[ven_id]
        assert getattr(reply, "request_id", None) not in side.done, "something comes again that is done"
        if not isinstance(reply, OadrDistributeEvent):
            if not isinstance(reply, OadrResponse):
                side.unanswered.append(reply)
            return
        assert open_before, "events came while all were answered or delivered"
        self.shown(ven_id, reply)
        shown = {(one.event.descriptor.event_id, one.event.descriptor.modification_number) for one in reply.events}
        assert shown >= self.owed(ven_id), "an event that is to be answered was left out"
        side.unanswered.append(reply)

    def shown(self, ven_id: str, reply: OadrDistributeEvent) -> None:
        """What holds for all events that a VEN is shown."""
        newest = self.sides[ven_id].newest
        for one in reply.events:
            event_id, number = one.event.descriptor.event_id, one.event.descriptor.modification_number
            assert newest.get(event_id, 0) <= number == self.events[event_id].number, "a modification number went back"
            newest[event_id] = number

    @rule(ven_id=vens, fate=st.sampled_from(["arrives", "lost", "late"]))
    def poll(self, ven_id: str, fate: str) -> None:
        side = self.sides[ven_id]
        if not side.registered:
            return
        before = self.open_lines(ven_id)
        if fate == "late":
            entry = side.ven.entry
            found: list[Any] = []
            self.house.vtn.poll(entry, self.written.append).addCallback(found.append)
            self.heard(ven_id, found[0], before)
        else:
            reply = side.ven.poll(clean=fate == "arrives")
            if fate == "arrives":
                self.heard(ven_id, reply, before)

    def left(self) -> None:
        """What was on its way has left whole."""
        while self.written:
            self.written.pop()()

    def ask(self, ven_id: str, limit: int | None = None) -> None:
        if self.sides[ven_id].registered:
            reply = self.sides[ven_id].ven.request_event(limit)
            self.shown(ven_id, reply)
            shown = {(one.event.descriptor.event_id, one.event.descriptor.modification_number) for one in reply.events}
            assert limit or shown >= self.owed(ven_id)

    @rule(ven_id=vens, answers=st.booleans(), good=st.booleans())
    def a_burst_of_polls_ends_and_leaves_nothing_out(self, ven_id: str, answers: bool, good: bool) -> None:
        self.burst(ven_id)
        if answers:
            self.answer_all(ven_id, good)

    def answer_all(self, ven_id: str, good: bool) -> None:
        side = self.sides[ven_id]
        while side.registered and side.unanswered:
            self.answer(ven_id, good, "optIn", False)

    def burst(self, ven_id: str) -> None:
        side = self.sides[ven_id]
        if not side.registered:
            return
        self.house.after(POLL)
        waiting, owed = self.open_entries(ven_id), self.owed(ven_id)
        came: list[Any] = []
        for _ in range(60):
            before = self.open_lines(ven_id)
            reply = side.ven.poll()
            self.heard(ven_id, reply, before)
            if isinstance(reply, OadrResponse):
                break
            came.append(reply)
        else:
            raise AssertionError("a burst of polls does not end")
        kinds = {KINDS[type(reply)] for reply in came}
        assert waiting <= kinds, f"{waiting - kinds} were kept back by something else"
        assert len({id(reply) for reply in came}) == len(came)
        if owed:
            assert "events" in kinds, "an open event was not offered"

    # --- VENs: what they say ----------------------------------------------------------------------------

    def say(self, ven_id: str, message: Any) -> Any:
        """Send a message, which may be repeated later."""
        self.sides[ven_id].last = message
        return self.sides[ven_id].ven.send(message)

    @rule(ven_id=vens, good=st.booleans(), opt=st.sampled_from(["optIn", "optOut"]), newest=st.booleans())
    def answer(self, ven_id: str, good: bool, opt: str, newest: bool) -> None:
        """Answer something that came before: the newest, or what has waited longest."""
        side = self.sides[ven_id]
        if side.registered and side.unanswered:
            message = side.unanswered.pop(-1 if newest else 0)
            ANSWERS[type(message)](self, ven_id, message, good, opt)

    def answer_events(self, ven_id: str, message: OadrDistributeEvent, good: bool, opt: str) -> None:
        side = self.sides[ven_id]
        for one in message.events:
            key = (one.event.descriptor.event_id, one.event.descriptor.modification_number)
            code = side.ven.answer((*key, opt, "200" if good else "460")).response.response_code
            current = self.events[key[0]].number == key[1]
            assert code == ("200" if current else OutOfSequence.response_code), (key, code)
            line = self.house.read(rows.line, ven_id, *key)
            if current and not line.removed and line.state != "withheld":
                side.said[key] = opt if good else None

    def registered_report(self, ven_id: str, message: OadrRegisterReport, good: bool, opt: str) -> None:
        answered = OadrRegisteredReport(response=response(request_id=message.request_id), ven_id=ven_id)
        assert self.say(ven_id, answered).response.response_code == "200"
        self.sides[ven_id].done.add(message.request_id)

    def created_report(self, ven_id: str, message: OadrCreateReport, good: bool, opt: str) -> None:
        pending = tuple(one.report_request_id for one in message.report_requests) if good else ()
        answered = response("200" if good else "461", message.request_id)
        assert self.say(ven_id, OadrCreatedReport(response=answered, pending_reports=pending)).response
        self.sides[ven_id].done.add(message.request_id)

    def canceled_report(self, ven_id: str, message: OadrCancelReport, good: bool, opt: str) -> None:
        answered = response("200" if good else "452", message.request_id)
        assert self.say(ven_id, OadrCanceledReport(response=answered, ven_id=ven_id)).response.response_code == "200"
        self.sides[ven_id].done.add(message.request_id)

    def registers_again(self, ven_id: str, message: object, good: bool, opt: str) -> None:
        self.register(ven_id, good)

    def canceled_registration(self, ven_id: str, message: Any, good: bool, opt: str) -> None:
        side = self.sides[ven_id]
        answered = response("200" if good else "452", message.request_id)
        assert self.say(ven_id, OadrCanceledPartyRegistration(response=answered)).response.response_code == "200"
        side.done.add(message.request_id)
        side.registered = self.house.read(ven_rows.get, ven_id).registered
        if not side.registered:
            side.ven.registration_id = None
            side.unanswered.clear()

    @rule(ven_id=vens, data=st.data(), what=st.sampled_from([
        "ask", "ask_one", "repeat", "register", "register_lost", "end_registration", "offer_reports", "report",
        "opt_in", "opt_out", "cancel_opt",
    ]))  # fmt: skip
    def speak(self, ven_id: str, data: st.DataObject, what: str) -> None:
        side = self.sides[ven_id]
        if what == "register_lost":
            self.register(ven_id, True)
        elif not side.registered:
            return
        elif what in ("opt_in", "opt_out"):
            if self.running():
                self.opt(ven_id, self.pick(data), "optIn" if what == "opt_in" else "optOut")
        elif what == "ask_one":
            self.ask(ven_id, 1)
        else:
            getattr(self, what)(ven_id)

    def repeat(self, ven_id: str) -> None:
        """Say once more what was said last: the answer was lost."""
        side = self.sides[ven_id]
        if side.last is not None and not isinstance(side.last, OadrCanceledPartyRegistration):
            before = self.ledger(ven_id)
            try:
                assert side.ven.send(side.last).response.response_code == "200"
            except OutOfSequence:
                assert isinstance(side.last, OadrCreateOpt)  # on an event that has changed since
            assert self.ledger(ven_id) == before

    def ledger(self, ven_id: str) -> list[Any]:
        return self.house.sql(f"SELECT event_id, state, opt_type FROM ledger WHERE ven_id='{ven_id}' ORDER BY 1, 2, 3")

    def register(self, ven_id: str, lost: bool = False) -> None:
        side = self.sides[ven_id]
        if lost:
            side.ven.registration_id = None
        side.ven.register()
        side.registered = True
        side.unanswered.clear()
        side.done.clear()
        side.newest.clear()
        side.last = None

    def end_registration(self, ven_id: str) -> None:
        side = self.sides[ven_id]
        registration_id = side.ven.registration_id or ""
        ended = OadrCancelPartyRegistration(request_id="r", registration_id=registration_id, ven_id=ven_id)
        assert side.ven.send(ended).response.response_code == "200"
        side.registered = False
        side.ven.registration_id = None
        side.unanswered.clear()

    def offer_reports(self, ven_id: str) -> None:
        assert self.sides[ven_id].ven.offer_reports("power").response.response_code == "200"

    def report(self, ven_id: str) -> None:
        for request in [request for request, owner in self.requests.items() if owner == ven_id][-2:]:
            answer = self.sides[ven_id].ven.report(request, reading("power", 1.0))
            assert answer.response.response_code == "200"
            if answer.cancel_report:
                self.sides[ven_id].unanswered.append(answer.cancel_report)

    def opt(self, ven_id: str, event_id: str, opt: str) -> None:
        number = self.events[event_id].number
        line = self.house.read(rows.line, ven_id, event_id, number)
        if line is None or line.withdrawn:
            return
        wish = OadrCreateOpt(
            opt_id=event_id, opt_type=opt, opt_reason="economic", ven_id=ven_id, created_date_time=START,
            request_id="r", target=EiTarget(),
            qualified_event_id=QualifiedEventID(event_id=event_id, modification_number=number),
        )  # fmt: skip
        assert self.say(ven_id, wish).response.response_code == "200"
        self.sides[ven_id].opts[event_id] = opt

    def cancel_opt(self, ven_id: str) -> None:
        side = self.sides[ven_id]
        if side.opts:
            event_id, _ = side.opts.popitem()
            side.ven.send(OadrCancelOpt(request_id="r", opt_id=event_id, ven_id=ven_id))
            side.last = None

    # --- time and accidents -----------------------------------------------------------------------------

    @rule(what=st.sampled_from([1, 10, 60, 300, "round", "kill", "left"]))
    def happen(self, what: int | str) -> None:
        if isinstance(what, int):
            self.house.after(what)
        elif what == "kill":
            self.written.clear()
            self.house.open()
        elif what == "round":
            self.house.round()
        else:
            self.left()

    # --- what always holds ------------------------------------------------------------------------------

    @invariant()
    def the_story_is_told(self) -> None:
        for ven_id, side in self.sides.items():
            told = self.house.sql(
                "SELECT event_id, modification_number, state, opt_type, removed FROM ledger"
                f" WHERE ven_id = '{ven_id}' AND state IN ('opted', 'refused')"
            )
            for event_id, number, state, opt_type, removed in told:
                key = (event_id, number)
                if number != self.events[event_id].number or removed:
                    continue
                assert key in side.said, f"{key} was never answered"
                assert (state == "refused") == (side.said[key] is None), key
                assert opt_type == side.opts.get(event_id, side.said[key]), key

            held = "SELECT event_id, modification_number, opt_type FROM ledger WHERE NOT withdrawn"
            for event_id, number, opt_type in self.house.sql(f"{held} AND ven_id = '{ven_id}'"):
                if number == self.events[event_id].number:
                    assert opt_type == side.opts.get(event_id, opt_type), (event_id, number)

        found = dict(self.house.sql("SELECT event_id, modification_number FROM events"))
        assert found == {event_id: known.number for event_id, known in self.events.items()}

        strange = self.house.sql(
            "SELECT kind, state FROM outbox WHERE (closed_at IS NULL) != (state IN ('queued', 'offered'))"
            " UNION ALL"
            " SELECT 'ledger', state FROM ledger WHERE (wants = 'answer' AND state NOT IN ('queued', 'offered'))"
            " OR (wants != 'nothing' AND state IN ('superseded', 'given_up'))"
            " OR (wants = 'nothing' AND state IN ('queued', 'offered'))"
            " OR (state = 'withheld' AND (NOT withdrawn OR wants != 'nothing' AND NOT removed))"
        )
        assert not strange, strange


KINDS: dict[type[Any], str] = {
    OadrDistributeEvent: "events",
    OadrRegisterReport: "register_report",
    OadrCreateReport: "create_report",
    OadrCancelReport: "cancel_report",
    OadrRequestReregistration: "request_reregistration",
    OadrCancelPartyRegistration: "cancel_registration",
}
ANSWERS: dict[type[Any], Callable[..., None]] = {
    OadrDistributeEvent: Life.answer_events,
    OadrRegisterReport: Life.registered_report,
    OadrCreateReport: Life.created_report,
    OadrCancelReport: Life.canceled_report,
    OadrRequestReregistration: Life.registers_again,
    OadrCancelPartyRegistration: Life.canceled_registration,
}

TestLife = Life.TestCase
# Not shrunk: that would take longer than a test may; the steps of a failure are few enough to read.
TestLife.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)
