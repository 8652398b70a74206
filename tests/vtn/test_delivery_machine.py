"""Delivery under any order of what operators, VENs, the clock and kills do."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oadrvtn.model.errors import OutOfSequence
from oadrvtn.model.event import EiTarget, OadrDistributeEvent
from oadrvtn.model.report import OadrRegisteredReport, OadrRegisterReport
from oadrvtn.storage import events as rows

from .house import START, FakeVen, House, response

VENS = ("ven-1", "ven-2")
vens = st.sampled_from(VENS)


class Delivery(RuleBasedStateMachine):
    """Two VENs, and all that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.house = House()
        self.vens: dict[str, FakeVen] = {ven_id: self.house.ven(ven_id) for ven_id in VENS}
        self.count = 0

    def open_events(self) -> list[str]:
        return [event_id for (event_id,) in self.house.sql("SELECT event_id FROM events WHERE NOT cancelled")]

    def open_lines(self, ven_id: str) -> list[rows.Line]:
        return self.house.read(rows.wanted, ven_id, self.house.vtn.now())

    @rule(start=st.integers(0, 100), never=st.booleans(), whom=st.sampled_from([(), ("ven-1",)]))
    def create(self, start: int, never: bool, whom: tuple[str, ...]) -> None:
        self.count += 1
        passed = (self.house.vtn.now() - START).total_seconds()
        self.house.event(
            start=passed + start, event_id=f"e{self.count}", length="PT5M", target=EiTarget(ven_ids=whom),
            response_required="never" if never else "always",
        )  # fmt: skip

    @precondition(lambda self: self.open_events())
    @rule(
        data=st.data(),
        change=st.sampled_from([{"priority": 1}, {"priority": 2}, {"target": EiTarget(ven_ids=("ven-2",))}]),
    )
    def modify(self, data: st.DataObject, change: dict[str, Any]) -> None:
        event_id = data.draw(st.sampled_from(self.open_events()))
        if self.house.read(rows.get, event_id).gone_at > self.house.vtn.now():
            self.house.modify(event_id, **change)

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
            assert shown >= {line.key for line in before}, "an open event was left out"
            if answers:
                assert ven.answer_all(reply).response.response_code == "200"
                assert not [line for line in self.open_lines(ven_id) if line.wants == "answer"]
        elif isinstance(reply, OadrRegisterReport) and answers:
            ven.send(OadrRegisteredReport(response=response(request_id=reply.request_id)))

    @rule(ven_id=vens)
    def ask(self, ven_id: str) -> None:
        shown = {one.event.descriptor.event_id for one in self.vens[ven_id].request_event().events}
        assert shown >= {line.event_id for line in self.open_lines(ven_id)}

    @rule(ven_id=vens, opt=st.sampled_from(["optIn", "optOut"]))
    def answer_one(self, ven_id: str, opt: str) -> None:
        for line in self.open_lines(ven_id)[:1]:
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
            " OR (wants = 'nothing' AND state = 'acknowledged' AND deliveries < 2)"
            " OR (wants != 'nothing' AND modification_number !="
            "     (SELECT modification_number FROM events WHERE events.event_id = ledger.event_id))"
        )
        assert not strange, strange

    @invariant()
    def one_register_report_at_most_is_open(self) -> None:
        for ven_id in VENS:
            found = self.house.sql(f"SELECT count(*) FROM outbox WHERE ven_id = '{ven_id}' AND closed_at IS NULL")
            assert found[0][0] <= 1


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
