"""For tests of your own handlers: a VTN without sockets, VENs that do as they are told, certificates in memory.

    vtn = build_vtn(Clock())
    vtn.add_handler("on_created_event", seen.append)
    ven = vtn.ven("ven-1")
    ven.register()
    ven.answer(ven.request_event(), "optIn")

All happens at once, in the test's own thread; time passes when the test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from .handlers.chain import Chain
from .handlers.event import EiEvent
from .handlers.exchange import Exchange
from .handlers.opt import EiOpt
from .handlers.poll import OadrPoll
from .handlers.register_party import EiRegisterParty, policy_of
from .handlers.report import EiReport
from .handlers.resource import ServiceResource
from .model.config import Config
from .model.event import EventResponse, OadrCreatedEvent, OadrDistributeEvent, OadrRequestEvent, QualifiedEventID
from .model.party import EiResponse, OadrCreatedPartyRegistration, OadrCreatePartyRegistration
from .model.party import OadrPoll as Poll
from .model.report import OadrRegisteredReport, OadrRegisterReport
from .model.schema import Message
from .security.certificates import Authority, Credential
from .storage.database import Database
from .vtn import registration
from .vtn.duties import Duties
from .vtn.reporter import Reporter, Source
from .vtn.vtn import Vtn
from .wire import decode, encode

RESOURCES: dict[str, type[ServiceResource]] = {
    cls.service: cls for cls in (EiRegisterParty, EiEvent, EiReport, EiOpt, OadrPoll)
}
"""The five services, which a test may replace."""
NO_SOURCES: Mapping[str, Source] = MappingProxyType({})


@cache
def authority() -> Authority:
    """The CA of these tests."""
    return Authority.create("oadrvtn.testing")


@cache
def credential(name: str) -> Credential:
    """A VEN's certificate and key, the same at each call."""
    return authority().issue_client(name)


def result(deferred: Deferred[Any]) -> Any:
    """What a Deferred that has fired holds; its failure is raised, and AssertionError where it has not fired."""
    got: list[Any] = []
    failed: list[Any] = []
    deferred.addCallbacks(got.append, failed.append)
    if failed:
        failed[0].raiseException()
    assert got, "the Deferred has not fired"
    return got[0]


class MemoryVtn:
    """Chain, services, rules and duties of a VTN, on a database in memory and the test's clock.

    ``vtn`` is what handlers know as ``self.vtn``.
    """

    def __init__(
        self, clock: Clock, *resources: type[ServiceResource], config: Config, sources: Mapping[str, Source]
    ) -> None:
        self.clock = clock
        self.config = config
        self.database = Database(None)
        self.database.start()
        self.vtn = Vtn(config, self.database, clock)
        self.chain = Chain(self.vtn)
        classes = RESOURCES | {cls.service: cls for cls in resources}
        self.resources = {service: cls(self.vtn, self.chain, "") for service, cls in classes.items()}
        self._duties = Duties(self.vtn, clock)
        self._reporter = Reporter(self.vtn, clock, sources)
        self._take_policy()
        result(self.vtn.start())

    def add_handler(self, name: str, function: Callable[..., Any]) -> None:
        """Have a function called, as the method of this name of OpenADRServer does."""
        self.vtn.hooks.add(name, function)
        self._take_policy()

    def _take_policy(self) -> None:
        policy = policy_of(self.config, type(self.resources["EiRegisterParty"]), self.vtn.hooks)
        for resource in self.resources.values():
            resource.policy = policy

    def ven(self, ven_id: str = "ven-1") -> ScriptedVen:
        """A VEN whose certificate is known, and which has not registered."""
        ven = self.stranger(ven_id)
        known = [ven.credential.fingerprint]
        self.write(registration.add, self.config, ven_id, ven_id, known, "operator")
        return ven

    def stranger(self, name: str) -> ScriptedVen:
        """A VEN whose certificate, by this name, is not known."""
        return ScriptedVen(self, name)

    def write(self, rule: Callable[..., Any], *arguments: Any) -> Any:
        """The reply of a rule that has run: ``vtn.write(events.create, spec, "operator")``."""
        return result(self.vtn.write("test", rule, *arguments))

    def read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        """What a query found."""
        return result(self.database.read("test", query, *arguments))

    def live(self, seconds: float) -> None:
        """Let time pass, with a round of duties and of the VTN's own reports each ten seconds and at the end."""
        while seconds > 0:
            self.clock.advance(min(seconds, 10))
            seconds -= 10
            result(self._duties.round())
            result(self._reporter.round())

    def stop(self) -> None:
        """Close the database."""
        self.database.stop()


def build_vtn(
    clock: Clock,
    *resources: type[ServiceResource],
    config: Config | None = None,
    sources: Mapping[str, Source] = NO_SOURCES,
) -> MemoryVtn:
    """A VTN for one test, in which these handler resources take the place of ours.

    ``sources`` are the functions that know the readings of offers, by what the configuration calls them.
    """
    return MemoryVtn(clock, *resources, config=config or Config(), sources=sources)


class ScriptedVen:
    """A VEN whose messages go to the VTN as bytes, and whose answers come back valid."""

    def __init__(self, vtn: MemoryVtn, name: str) -> None:
        self.vtn = vtn
        self.name = name
        self.credential = credential(name)
        self.ven_id: str | None = None
        self.registration_id: str | None = None

    def begin(self, message: Message, service: str = "EiEvent") -> Deferred[Any]:
        """Send a message; the answer, when it is there.  ``service`` is for oadrResponse, which every service takes."""
        resource = self.vtn.resources[message.service or service]
        done = resource.handle(
            Exchange(
                resource,
                encode(message),
                self.credential.fingerprint,
                "192.0.2.1",
                lambda: f"CN={self.name}",
                lambda: self.credential.certificate.public_bytes(Encoding.DER),
            )
        )
        return done.addCallback(self._decoded)

    def _decoded(self, exchange: Exchange) -> Any:
        assert exchange.status == 200, exchange.answer
        return decode(exchange.answer, allowed=()).message

    def send(self, message: Message, service: str = "EiEvent") -> Any:
        """The answer to a message, which is there at once."""
        return result(self.begin(message, service))

    def register(self, **changes: Any) -> OadrCreatedPartyRegistration:
        """Register, for the first time or again."""
        values: dict[str, Any] = {
            "request_id": "register",
            "ven_id": self.ven_id,
            "registration_id": self.registration_id,
            "ven_name": self.name,
            "profile_name": "2.0b",
            "transport_name": "simpleHttp",
            "report_only": False,
            "xml_signature": False,
            "http_pull_model": True,
        }
        created: OadrCreatedPartyRegistration = self.send(OadrCreatePartyRegistration(**{**values, **changes}))
        if created.registration_id:
            self.ven_id, self.registration_id = created.ven_id, created.registration_id
        return created

    def poll(self) -> Any:
        """The answer to a poll."""
        return self.send(Poll(ven_id=self.ven_id or ""))

    def settle(self) -> Any:
        """Poll, and answer the VTN's oadrRegisterReport as long as one comes; the first other message."""
        while isinstance(message := self.poll(), OadrRegisterReport):
            self.send(OadrRegisteredReport(response=EiResponse.ok(message.request_id), ven_id=self.ven_id))
        return message

    def request_event(self) -> OadrDistributeEvent:
        """All events that there are for it."""
        distributed: OadrDistributeEvent = self.send(OadrRequestEvent(request_id="ask", ven_id=self.ven_id or ""))
        return distributed

    def answer(self, distributed: OadrDistributeEvent, opt_type: str = "optIn") -> Any:
        """Opt in to all events of a message, or out of them."""
        responses = tuple(
            EventResponse(
                response_code="200",
                request_id=distributed.request_id,
                qualified_event_id=QualifiedEventID(
                    event_id=shown.event.descriptor.event_id,
                    modification_number=shown.event.descriptor.modification_number,
                ),
                opt_type=opt_type,
            )
            for shown in distributed.events
        )
        response = EiResponse.ok("")
        return self.send(OadrCreatedEvent(response=response, event_responses=responses, ven_id=self.ven_id or ""))
