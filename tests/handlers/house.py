"""A VTN without sockets: rules, chain and the five resources, a database in memory, and a clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers.chain import Chain
from oadrvtn.handlers.exchange import Exchange
from oadrvtn.handlers.resource import ServiceResource
from oadrvtn.model.config import Config
from oadrvtn.model.messages import MESSAGES
from oadrvtn.model.party import OadrCreatePartyRegistration
from oadrvtn.model.party import OadrPoll as Poll
from oadrvtn.model.schema import Message
from oadrvtn.security.fingerprint import sha256
from oadrvtn.storage.database import Database
from oadrvtn.testing import RESOURCES
from oadrvtn.vtn import registration
from oadrvtn.vtn.vtn import Vtn
from oadrvtn.wire import decode, encode
from tests.wire.samples import full

START = datetime(2026, 7, 1, 12, tzinfo=UTC)


def certificate(name: str) -> bytes:
    """The SHA-256 of what is called a certificate here."""
    return sha256(name.encode())


def made(name: str, **changes: Any) -> Any:
    """A message with everything in it, that any VEN may say unless its rule objects."""
    message = full(MESSAGES[name])
    if hasattr(message, "ven_id"):
        changes.setdefault("ven_id", "" if _mandatory(message) else None)
    return message.evolve(**changes)


def _mandatory(message: Message) -> bool:
    return attrs.fields_dict(type(message))["ven_id"].default is attrs.NOTHING


def poll(ven_id: str = "") -> Poll:
    return Poll(ven_id=ven_id)


def create(**changes: Any) -> OadrCreatePartyRegistration:
    """A registration that any policy may accept."""
    fields: dict[str, Any] = {
        "request_id": "r1",
        "profile_name": "2.0b",
        "transport_name": "simpleHttp",
        "report_only": False,
        "xml_signature": False,
        "ven_name": "site",
        "http_pull_model": True,
    }
    return OadrCreatePartyRegistration(**fields | changes)


def code(answer: Any) -> str:
    """The response code of an answer."""
    found: str = answer.response.response_code
    return found


class House:
    """``resources`` replaces some of the five; ``policy`` is for certificates that are not known."""

    def __init__(
        self,
        test: SynchronousTestCase,
        *resources: type[ServiceResource],
        policy: str = "closed",
        config: Config | None = None,
        known: tuple[str, ...] = ("ven-1", "ven-2"),
        start: datetime = START,
    ) -> None:
        self.test = test
        self.clock = Clock()
        self.clock.advance(start.timestamp())
        self.config = config or Config(vtn_id="vtn")
        self.database = Database(None)
        self.database.start()
        test.addCleanup(self.database.stop)
        self._classes = RESOURCES | {cls.service: cls for cls in resources}
        self._policy = policy
        self.restart()
        for ven_id in known:
            self.write(registration.add, self.config, ven_id, ven_id, [certificate(ven_id)], "operator")

    def restart(self) -> None:
        """Begin again with what is in the database."""
        self.vtn = Vtn(self.config, self.database, self.clock)
        self.chain = Chain(self.vtn)
        self.resources = {name: cls(self.vtn, self.chain, self._policy) for name, cls in self._classes.items()}

    def write(self, rule: Any, *arguments: Any) -> Any:
        """The reply of a rule that has run."""
        return self.test.successResultOf(self.vtn.write("test", rule, *arguments))

    def read(self, query: Any, *arguments: Any) -> Any:
        """What a query found."""
        return self.test.successResultOf(self.database.read("test", query, *arguments))

    def begin(self, service: str, what: Message | bytes, ven: str = "ven-1") -> Any:
        """Hand in a message; a Deferred of the Exchange."""
        body = what if isinstance(what, bytes) else encode(what)
        resource = self.resources[service]
        return resource.handle(Exchange(resource, body, certificate(ven), "192.0.2.1", lambda: f"CN={ven}"))

    def exchange(self, service: str, what: Message | bytes, ven: str = "ven-1") -> Exchange:
        """The Exchange of a message that is answered at once."""
        done: Exchange = self.test.successResultOf(self.begin(service, what, ven))
        return done

    def answer(self, service: str, what: Message | bytes, ven: str = "ven-1") -> Any:
        """The answering message, which is valid without any bend and comes with HTTP 200."""
        exchange = self.exchange(service, what, ven)
        self.test.assertEqual((exchange.status, exchange.content_type), (200, b"application/xml"), exchange.answer)
        message = decode(exchange.answer, allowed=()).message
        self.test.assertEqual(message, exchange.reply)
        return message

    def register(self, ven: str = "ven-1", **changes: Any) -> Any:
        """The answer to a registration that is accepted."""
        answer = self.answer("EiRegisterParty", create(**changes), ven)
        self.test.assertEqual(code(answer), "200", answer)
        return answer


class Logged:
    """What is logged within: ``with Logged() as log``, then the lines that a person would read."""

    def __enter__(self) -> Logged:
        self._capturing = capturedLogs()
        self.events = self._capturing.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._capturing.__exit__(None, None, None)

    def lines(self, word: str = "", level: LogLevel = LogLevel.info) -> list[str]:
        """The lines of this level and above that hold the word."""
        lines = [formatEvent(event) for event in self.events if event["log_level"] >= level]
        return [line for line in lines if word in line]
