"""Delivery under any order of what operators, VENs, the clock and kills do."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oadrvtn.model.errors import NotAllowed, OutOfSequence
from oadrvtn.model.event import EiTarget, OadrDistributeEvent
from oadrvtn.model.report import OadrRegisteredReport, OadrRegisterReport
from oadrvtn.storage import audience as traits
from oadrvtn.storage import events as rows
from oadrvtn.vtn import audience
from oadrvtn.vtn.specs import spec_of

from .house import START, FakeVen, House, response

VENS = ("ven-1", "ven-2")
GROUPS = ("red", "blue")
vens = st.sampled_from(VENS)
groups = st.sampled_from(GROUPS)
targets = st.sampled_from(
    [EiTarget(), EiTarget(ven_ids=("ven-1",)), EiTarget(ven_ids=("ven-2",)), EiTarget(group_ids=("red",)),
     EiTarget(group_names=("blue",)), EiTarget(group_ids=GROUPS, ven_ids=("ven-1",))]
)  # fmt: skip


class Delivery(RuleBasedStateMachine):
    """Two VENs, and all that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House()
        self.vens: dict[str, FakeVen] = {ven_id: self.house.ven(ven_id) for ven_id in VENS}
        for group_id in GROUPS:
            self.house.write(audience.create_group, group_id, group_id, ())
        self.count = 0

    def open_events(self) -> list[str]:
        statement = "SELECT event_id FROM events WHERE NOT cancelled AND deleted_at IS NULL"
        return [event_id for (event_id,) in self.house.sql(statement)]

    def open_lines(self, ven_id: str) -> list[rows.Line]:
        found = self.house.read(rows.wanted, [ven_id], self.house.vtn.now()).get(ven_id, ())
        return [line for _, line in found if line.wants != "nothing"]

    @rule(start=st.integers(0, 600), never=st.booleans(), whom=targets, program=st.sampled_from("ab"))
    def create(self, start: int, never: bool, whom: EiTarget, program: str) -> None:
        self.count += 1
        passed = (self.house.vtn.now() - START).total_seconds()
        try:
            self.house.event(
                start=passed + start, event_id=f"e{self.count}", length="PT5M", target=whom,
                response_required="never" if never else "always", market_context=f"http://{program}/",
            )  # fmt: skip
        except NotAllowed as error:
            assert error.mistakes[0].place == "dtstart"

    @precondition(lambda self: self.open_events())
    @rule(
        data=st.data(),
        change=st.one_of(
            st.sampled_from([{"priority": 1}, {"priority": 2}]),
            targets.map(lambda target: {"target": target}),
            st.sampled_from(["always", "never"]).map(lambda due: {"response_required": due}),
        ),
    )
    def modify(self, data: st.DataObject, change: dict[str, Any]) -> None:
        event_id = data.draw(st.sampled_from(self.open_events()))
        before = self.house.read(rows.get, event_id)
        if before.gone_at <= self.house.vtn.now():
            return
        try:
            after = self.house.modify(event_id, **change)
        except NotAllowed as error:
            assert error.mistakes[0].place in change
            return
        changed = spec_of(before) != spec_of(after) and "response_required" not in change
        assert after.modification_number == before.modification_number + changed

    @precondition(lambda self: self.open_events())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.house.delete(data.draw(st.sampled_from(self.open_events())))

    @rule(ven_id=vens, group_id=groups)
    def join(self, ven_id: str, group_id: str) -> None:
        self.house.write(audience.change_members, group_id, (ven_id,), ())

    @rule(ven_id=vens, group_id=groups)
    def leave(self, ven_id: str, group_id: str) -> None:
        self.house.write(audience.change_members, group_id, (), (ven_id,))

    @precondition(lambda self: self.open_events())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(self.open_events()))
        if self.house.read(rows.get, event_id).gone_at > self.house.vtn.now():
            self.house.cancel(event_id)

    @rule(ven_id=vens, answers=st.booleans(), clean=st.booleans())
    def poll(self, ven_id: str, answers: bool, clean: bool) -> None:
        ven = self.vens[ven_id]
        before = self.open_lines(ven_id)
        reply = ven.poll(clean)
        if isinstance(reply, OadrDistributeEvent):
            assert before, "events came while all were answered or delivered"
            shown = {(one.event.descriptor.event_id, one.event.descriptor.modification_number) for one in reply.events}
            assert shown >= {line.key for line in before if not line.removed}, "an open event was left out"
            assert not shown & {line.key for line in before if line.removed}, "what is gone was shown"
            if answers:
                assert ven.answer_all(reply).response.response_code == "200"
                assert not [line for line in self.open_lines(ven_id) if line.wants == "answer"]
        elif isinstance(reply, OadrRegisterReport) and answers:
            ven.send(OadrRegisteredReport(response=response(request_id=reply.request_id)))

    @rule(ven_id=vens)
    def ask(self, ven_id: str) -> None:
        shown = {one.event.descriptor.event_id: one.event for one in self.vens[ven_id].request_event().events}
        assert shown.keys() >= {line.event_id for line in self.open_lines(ven_id) if not line.removed}
        member = {trait.value for trait in self.house.read(traits.traits_of, ven_id)}
        for event in shown.values():
            assert set(event.target.ven_ids) <= {ven_id}, "a VEN saw another one"
            assert {*event.target.group_ids, *event.target.group_names} <= member, "a VEN saw a group of others"

    @rule(ven_id=vens, opt=st.sampled_from(["optIn", "optOut"]))
    def answer_one(self, ven_id: str, opt: str) -> None:
        for line in [line for line in self.open_lines(ven_id) if line.wants == "answer"][:1]:
            assert self.vens[ven_id].answer((*line.key, opt)).response.response_code == "200"

    @precondition(lambda self: self.open_events())
    @rule(ven_id=vens, data=st.data())
    def answer_wrongly(self, ven_id: str, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(self.open_events()))
        open_before = {line.key for line in self.open_lines(ven_id)}
        code = self.vens[ven_id].answer((event_id, 99)).response.response_code
        assert code in (OutOfSequence.response_code, "452")
        assert {line.key for line in self.open_lines(ven_id)} == open_before

    @rule(ven_id=vens)
    def register_again(self, ven_id: str) -> None:
        self.vens[ven_id].register()

    @rule(seconds=st.sampled_from([0.5, 5, 10, 60, 200]))
    def wait(self, seconds: float) -> None:
        self.house.after(seconds)

    @rule()
    def round(self) -> None:
        self.house.round()

    @rule()
    def kill(self) -> None:
        self.house.open()

    @rule(ven_id=vens)
    def what_is_open_comes_within_a_few_intervals(self, ven_id: str) -> None:
        if not any(line.wants == "answer" for line in self.open_lines(ven_id)):
            return
        for _ in range(3):
            self.house.after(10)
            if not self.open_lines(ven_id) or isinstance(self.vens[ven_id].poll(), OadrDistributeEvent):
                return
        raise AssertionError("an open event was not offered")

    @invariant()
    def every_current_line_is_open_or_closed_for_a_reason(self) -> None:
        strange = self.house.sql(
            "SELECT state, wants FROM ledger WHERE (wants = 'nothing' AND state IN ('queued', 'offered'))"
            " OR (wants = 'answer' AND state NOT IN ('queued', 'offered'))"
            " OR (wants != 'nothing' AND state IN ('superseded', 'given_up'))"
            " OR (state = 'withheld' AND (NOT withdrawn OR wants != 'nothing' AND NOT removed))"
            " OR (wants = 'nothing' AND state = 'acknowledged' AND deliveries < 2)"
            " OR (wants != 'nothing' AND modification_number !="
            "     (SELECT modification_number FROM events WHERE events.event_id = ledger.event_id))"
        )
        assert not strange, strange

    @invariant()
    def who_is_meant_holds_it_or_it_is_withheld(self) -> None:
        now = self.house.vtn.now()
        for event in self.house.read(rows.running, now):
            if event.ends_at and event.ends_at <= now:
                continue
            target, lines = spec_of(event).target, self.house.read(rows.current_lines, event.event_id)
            held = {line.ven_id for line in lines if not line.withdrawn}
            withheld = {line.ven_id for line in lines if line.state == "withheld"}
            groups = [*target.group_ids, *target.group_names]
            members = {ven_id for group_id in groups for ven_id in self.house.read(traits.members, group_id)}
            assert held | withheld == (set(VENS) if event.for_everyone else members | set(target.ven_ids))
            assert not held & withheld

    @invariant()
    def no_ven_holds_two_events_of_a_program_at_a_time(self) -> None:
        busy: dict[tuple[str, str], list[rows.Event]] = {}
        for event in self.house.read(rows.running, self.house.vtn.now()):
            for line in self.house.read(rows.current_lines, event.event_id):
                if not line.withdrawn:
                    busy.setdefault((line.ven_id, event.market_context), []).append(event)
        for held in busy.values():  # by their start
            for one, next_one in pairwise(held):
                assert one.ends_at and one.ends_at <= next_one.dtstart, (one, next_one)

    @invariant()
    def one_register_report_at_most_is_open(self) -> None:
        for ven_id in VENS:
            found = self.house.sql(f"SELECT count(*) FROM outbox WHERE ven_id = '{ven_id}' AND closed_at IS NULL")
            assert found[0][0] <= 1


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
