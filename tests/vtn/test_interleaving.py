"""Two connections of one VEN beside operators, where what is asked of the database comes back in any order."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import VtnError
from oadrvtn.model.event import OadrCreatedEvent, OadrDistributeEvent
from oadrvtn.model.party import OadrCreatePartyRegistration, OadrRequestReregistration, OadrResponse
from oadrvtn.model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
)
from oadrvtn.model.schema import Message
from oadrvtn.storage import events as rows
from oadrvtn.vtn import events, registration, requests
from oadrvtn.vtn.changes import Changes
from oadrvtn.vtn.requests import RequestSpec

from .house import START, FakeVen, House, response, spec

KINDS: dict[type[Any], str] = {
    OadrDistributeEvent: "events",
    OadrRegisterReport: "register_report",
    OadrCreateReport: "create_report",
    OadrCancelReport: "cancel_report",
    OadrRequestReregistration: "request_reregistration",
}


@attrs.frozen
class Job:
    """Something that is asked of the database, and, once it is ``done``, what came of it and is to be published."""

    writes: bool
    ask: Callable[[], Deferred[Any]]
    waiting: Deferred[Any] = attrs.field(factory=Deferred)
    done: list[Any] = attrs.field(factory=list)
    changes: list[Changes] = attrs.field(factory=list)


class Threads:
    """A database with a writer and readers, as slow as the test wants: what is written keeps its order."""

    def __init__(self, house: House) -> None:
        self.jobs: list[Job] = []
        self.database, self.publish = house.database, house.database.publish
        self.ways: dict[str, Callable[..., Deferred[Any]]] = {"read": house.database.read, "run": house.database.run}
        self.slow()

    def slow(self) -> None:
        for name, ask in self.ways.items():
            setattr(self.database, name, self.later(ask, name == "run"))

    def at_once(self) -> None:
        for name, ask in self.ways.items():
            setattr(self.database, name, ask)

    def later(self, ask: Callable[..., Deferred[Any]], writes: bool) -> Callable[..., Deferred[Any]]:
        def asked(*arguments: Any) -> Deferred[Any]:
            self.jobs.append(Job(writes, lambda: ask(*arguments)))
            return self.jobs[-1].waiting

        return asked

    def step(self, choose: random.Random, done: bool) -> bool:
        """A thread does its work, or what it has ``done`` comes back; whether there was anything."""
        ready = [job for job in self.jobs if bool(job.done) is done]
        written = [job for job in ready if job.writes][:1]
        ready = [job for job in ready if not job.writes] + written
        if ready:
            (self.back if done else self.work)(choose.choice(ready))
        return bool(ready)

    def work(self, job: Job) -> None:
        self.database.publish = job.changes.append
        job.ask().addBoth(job.done.append)

    def back(self, job: Job) -> None:
        self.jobs.remove(job)
        for changes in job.changes:
            self.publish(changes)
        (job.waiting.errback if isinstance(job.done[0], Failure) else job.waiting.callback)(job.done[0])


class InterleavingTests(SynchronousTestCase):
    """One VEN, of which everything may be under way twice."""

    def begin(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.house = House()
        self.ven: FakeVen = self.house.ven()
        self.ven.offer_reports("power")
        self.heard: list[Any] = []
        self.made = 0
        self.threads = Threads(self.house)

    def drain(self) -> None:
        while self.threads.jobs:
            self.threads.step(self.choose, self.choose.random() < 0.5)

    # --- what may happen

    def send(self, message: Message | None) -> Deferred[Any]:
        """A message on a connection of its own, or a poll; what is refused by a rule is no fault here."""
        vtn = self.house.vtn

        def identified(entry: Any) -> Deferred[Any]:
            vtn.seen(entry)
            return vtn.handle(entry, message) if message else vtn.poll(entry, lambda written: written())

        answered: Deferred[Any] = vtn.identify(self.ven.full).addCallback(identified)
        return answered.addErrback(lambda failure: failure.trap(VtnError))

    def poll(self) -> Deferred[Any]:
        def keep(reply: Any) -> Any:
            if type(reply) in KINDS:
                self.heard.append(reply)
            return reply

        return self.send(None).addCallback(keep)

    def answer(self) -> None:
        if not self.heard:
            return
        heard = self.heard.pop(self.choose.randrange(len(self.heard)))
        said = response(request_id=getattr(heard, "request_id", ""))
        if isinstance(heard, OadrDistributeEvent):
            shown = [one.event.descriptor for one in heard.events]
            answers = tuple(self.ven._answer(one.event_id, one.modification_number) for one in shown)
            self.send(OadrCreatedEvent(response=said, event_responses=answers, ven_id="ven-1"))
        elif isinstance(heard, OadrCreateReport):
            pending = tuple(one.report_request_id for one in heard.report_requests)
            self.send(OadrCreatedReport(response=said, pending_reports=pending))
        elif isinstance(heard, OadrCancelReport):
            self.send(OadrCanceledReport(response=said))
        elif isinstance(heard, OadrRegisterReport):
            self.send(OadrRegisteredReport(response=said))
        else:
            self.register()

    def register(self) -> None:
        self.heard.clear()
        self.send(
            OadrCreatePartyRegistration(
                request_id="r", profile_name="2.0b", transport_name="simpleHttp", report_only=False,
                xml_signature=False, http_pull_model=True, ven_id="ven-1",
            )
        )  # fmt: skip

    def operate(self) -> None:
        vtn, event_id = self.house.vtn, f"e{self.choose.randint(1, self.made + 1)}"
        passed = (vtn.now() - START).total_seconds()
        wish = RequestSpec(report_specifier_id="usage", granularity=60.0, report_back_duration=60.0)
        wanted: list[tuple[Any, ...]] = [
            (events.create, spec(passed, event_id=event_id, length="PT5M"), "operator"),
            (events.modify, event_id, {"priority": self.choose.randint(0, 9)}, None),
            (events.cancel, event_id, None, None),
            (events.delete, event_id, None),
            (requests.request, "ven-1", [wish]),
            (registration.request_reregistration, "ven-1"),
        ]
        rule, *arguments = wanted[self.choose.choice((0, 0, 1, 1, 1, 2, 3, 4, 5))]
        self.made += rule is events.create
        vtn.write(rule.__name__, rule, *arguments).addErrback(lambda failure: failure.trap(VtnError))

    def owed(self) -> set[str]:
        """The kinds of what the VEN must be offered now."""
        self.threads.at_once()
        waiting = self.house.sql("SELECT kind FROM outbox WHERE closed_at IS NULL AND offers < 10")
        shown = self.house.read(rows.wanted, ["ven-1"], self.house.vtn.now()).get("ven-1", ())
        self.threads.slow()
        return {kind for (kind,) in waiting} | {"events" for _, line in shown if line.wants == "answer"}

    def happen(self) -> None:
        happens = self.choose.random()
        if happens < 0.5:
            self.choose.choice((self.poll, self.poll, self.answer, self.operate, self.operate))()
        elif happens < 0.52:
            self.register()
        else:
            self.threads.step(self.choose, happens < 0.76)

    def burst(self) -> set[str]:
        """The kinds of what comes until a poll finds nothing."""
        came: set[str] = set()
        for _ in range(60):
            polled = self.poll()
            self.drain()
            reply = self.successResultOf(polled)
            if isinstance(reply, OadrResponse):
                return came
            came.add(KINDS[type(reply)])
        raise AssertionError("a burst of polls does not end")

    def test_nothing_that_waits_is_overlooked(self) -> None:
        for seed in range(4):
            self.begin(seed)
            for _ in range(100):
                self.threads.publish(Changes.of("ven-1"))  # so that what waits must be looked up
                for _ in range(self.choose.randint(2, 12)):
                    self.happen()
                self.drain()
                self.house.after(10)  # no lease runs any more
                owed = self.owed()
                self.assertLessEqual(owed, self.burst(), seed)
            self.threads.at_once()
            self.house.database.stop()
