"""A VTN in memory with its API on the desk: requests go in as bytes and come out as bytes, without sockets."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from http.client import HTTPConnection, HTTPResponse
from io import BytesIO
from typing import Any, cast

import attrs
from jsonschema_rs import validator_for
from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.console import openapi
from oadrvtn.console.api import Api
from oadrvtn.console.audit import Clerk
from oadrvtn.console.client import Client, File
from oadrvtn.model.config import Config
from oadrvtn.model.event import (
    EiTarget,
    EventResponse,
    Interval,
    OadrCreatedEvent,
    OadrPayloadResourceStatus,
    OadrReportPayload,
    PayloadFloat,
    PowerAttributes,
    PowerReal,
    Properties,
    QualifiedEventID,
)
from oadrvtn.model.opt import OadrCreateOpt
from oadrvtn.model.party import EiResponse, OadrCreatePartyRegistration
from oadrvtn.model.report import (
    OadrCreatedReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportDescription,
    OadrSamplingRate,
    OadrUpdateReport,
)
from oadrvtn.model.schema import Message
from oadrvtn.model.values import Duration
from oadrvtn.storage.database import Database
from oadrvtn.vtn import registration
from oadrvtn.vtn.duties import Duties
from oadrvtn.vtn.vtn import Vtn

TOKEN = "a-token-for-these-tests"
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""When the clock of a test begins."""


def certificate(name: str) -> bytes:
    """The SHA-256 of a certificate that does not exist."""
    return hashlib.sha256(name.encode()).digest()


def colons(fingerprint: bytes) -> str:
    """A fingerprint as people write it."""
    return fingerprint.hex(":").upper()


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        found = self.headers.getRawHeaders(name)
        return found[0] if found else None


@cache
def _described() -> list[tuple[str, re.Pattern[str], dict[str, Any]]]:
    """Of each operation the method, what its path looks like, and for each status what its JSON is held against."""
    document = openapi.document("1")
    components = {"components": document["components"]}
    found = []
    for path, operations in document["paths"].items():
        looks = re.compile("/".join("[^/]+" if part[:1] == "{" else re.escape(part) for part in path.split("/")))
        for method, operation in operations.items():
            held = {
                status: said["content"]["application/json"]["schema"] | components if "content" in said else None
                for status, said in operation["responses"].items()
                if status[0] == "2"
            }
            found.append((method.upper(), looks, {status: s and validator_for(s) for status, s in held.items()}))
    return found


def check(method: str, path: str, answer: Answer) -> None:
    """Whatever the API answers where all is well is what it is described to answer."""
    path = path.partition("?")[0]
    if answer.status >= 300 or not path.startswith("/api/"):
        return
    held = next(held for way, looks, held in _described() if way == method and looks.fullmatch(path))
    assert str(answer.status) in held, f"{method} {path} answers {answer.status}, which is not described"
    as_told = held[str(answer.status)]
    assert bool(as_told) == bool(answer.body), f"{method} {path}: {answer.body!r}"
    if as_told and answer.header("Content-Type") == "application/json":
        as_told.validate(answer.json)


class Office:
    """A VTN whose database is in memory and answers at once."""

    def __init__(self, config: Config | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(START.timestamp())
        self.database = Database(None)
        self.database.start()
        self.vtn = Vtn(config or Config(), self.database, self.clock)
        self.answers: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[str] = Counter()
        self.clerk = Clerk(self.vtn)
        self.api = Api(self.vtn, TOKEN, self.clerk, answers=self.answers, refused=self.refused)
        self.door = self.api.resource()
        self.treq = cast(Any, StubTreq(self.door))

    # --- an operator

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        """A request and its answer; ``path`` as the wire has it, ``body`` as JSON, or ``raw``."""
        sent = dict(headers or {})
        if token is not None:
            sent.setdefault("Authorization", f"Bearer {token}")
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        case = SynchronousTestCase()
        response = self.treq.request(method, f"http://vtn.example{path}", headers=sent, data=data)
        self.treq.flush()
        got = case.successResultOf(response)
        answer = Answer(got.code, got.headers, case.successResultOf(got.content()))
        check(method, path, answer)
        return answer

    def token(self, scope: str, name: str | None = None, **more: Any) -> str:
        """A token that was made for somebody, called like its scope if not otherwise."""
        answer = self.ask("POST", "/api/v1/tokens", {"name": name or scope, "scope": scope, **more})
        SynchronousTestCase().assertEqual(201, answer.status, answer.body)
        return str(answer.json["token"])

    def client(self) -> Client:
        """What the command line would speak through."""
        return Client("127.0.0.1", 8080, TOKEN, lambda *address, timeout: cast(HTTPConnection, _Connection(self)))

    def flush(self) -> None:
        """What is counted in memory goes to disk."""
        SynchronousTestCase().successResultOf(Duties(self.vtn, self.clock).round())

    # --- a VEN

    def registered(self, ven_id: str = "ven-1") -> None:
        """A VEN that was added and has registered."""
        case = SynchronousTestCase()
        body = {"ven_id": ven_id, "fingerprints": [colons(certificate(ven_id))]}
        case.assertEqual(201, self.ask("POST", "/api/v1/vens", body).status)
        self.registers(ven_id)

    def registers(self, ven_id: str) -> None:
        """A VEN that was added registers."""
        self.says(
            ven_id,
            OadrCreatePartyRegistration(
                request_id="r", ven_id=ven_id, profile_name="2.0b", transport_name="simpleHttp",
                report_only=False, xml_signature=False, ven_name="The [bold]cellar[/bold]", http_pull_model=True,
            ),
        )  # fmt: skip

    def waits(self, name: str) -> None:
        """A certificate that is not known asks to be let in."""
        remember = self.vtn.write(
            "remember", registration.remember, self.vtn.config, certificate(name), f"CN={name}", None, "Shop"
        )
        SynchronousTestCase().successResultOf(remember)

    def says(self, ven_id: str, message: Message) -> Any:
        """The answer to a message of a VEN, by the rules alone."""
        case = SynchronousTestCase()
        entry = case.successResultOf(self.vtn.identify(certificate(ven_id)))
        assert entry is not None
        self.vtn.seen(entry)
        return case.successResultOf(self.vtn.handle(entry, message))

    def opts(self, ven_id: str, event_id: str, opt_type: str, modification_number: int = 0) -> Any:
        """A VEN answers an event."""
        answer = EventResponse(
            response_code="200", request_id="e", opt_type=opt_type,
            qualified_event_id=QualifiedEventID(event_id=event_id, modification_number=modification_number),
        )  # fmt: skip
        response = EiResponse(response_code="200", request_id="")
        return self.says(ven_id, OadrCreatedEvent(response=response, event_responses=(answer,), ven_id=ven_id))

    def opts_for(self, ven_id: str, event_id: str, opt_type: str, resource_id: str) -> None:
        """A VEN says by oadrCreateOpt what one of its resources does in an event."""
        event = QualifiedEventID(event_id=event_id, modification_number=0)
        self._creates_opt(ven_id, opt_type, resource_id, opt_id=event_id, qualified_event_id=event, available=())

    def is_available(self, ven_id: str, opt_type: str, minutes: int, length: str, resource: str | None = None) -> None:
        """A VEN says when, from so many minutes after START on, it is (not) available."""
        period = Properties(dtstart=START + timedelta(minutes=minutes), duration=Duration(length))
        opt_id = f"{opt_type}{minutes}"
        self._creates_opt(ven_id, opt_type, resource, opt_id=opt_id, qualified_event_id=None, available=(period,))

    def _creates_opt(self, ven_id: str, opt_type: str, resource_id: str | None, **values: Any) -> None:
        opt = OadrCreateOpt(
            opt_type=opt_type, opt_reason="mustRun", market_context=None, ven_id=ven_id, created_date_time=START,
            request_id="o", target=EiTarget(resource_ids=(resource_id,) if resource_id else ()), device_class=None,
            **values,
        )  # fmt: skip
        self.says(ven_id, opt)

    def offers(self, ven_id: str, *r_ids: str, report_name: str = "TELEMETRY_USAGE") -> Any:
        """A VEN offers the power at these points as a report "load"; what it is told to that."""
        grid = PowerAttributes(hertz=Decimal(50), voltage=Decimal(230), ac=True)
        points = tuple(
            OadrReportDescription(
                r_id=r_id, report_type="usage", reading_type="Direct Read",
                item_base=PowerReal(item_units="W", si_scale_code="k", power_attributes=grid),
                sampling_rate=OadrSamplingRate(
                    min_period=Duration("PT1M"), max_period=Duration("PT1H"), on_change=False
                ),
            )
            for r_id in r_ids
        )  # fmt: skip
        offer = OadrReport(
            descriptions=points, report_request_id="0", report_specifier_id="load",
            report_name=f"METADATA_{report_name}", created_date_time=START,
        )  # fmt: skip
        return self.says(ven_id, OadrRegisterReport(request_id="o", reports=(offer,), ven_id=ven_id))

    def accepts(self, ven_id: str, *report_request_ids: str) -> None:
        """A VEN accepts what it was asked for; its first poll took it."""
        response = EiResponse.ok("")
        self.says(ven_id, OadrCreatedReport(response=response, pending_reports=report_request_ids, ven_id=ven_id))

    def reports(self, ven_id: str, values: dict[str, list[float]]) -> None:
        """A VEN offers a report, is asked for it, and sends values a minute apart, from START on, by r_id."""
        numbers = {r_id: [PayloadFloat(value=value) for value in series] for r_id, series in values.items()}
        self._reports(ven_id, numbers, "TELEMETRY_USAGE")

    def states(self, ven_id: str, r_id: str, online: list[bool]) -> None:
        """The same with the states of a resource: while it is not online, somebody has switched it off by hand."""
        states = [OadrPayloadResourceStatus(online=each, manual_override=not each) for each in online]
        self._reports(ven_id, {r_id: states}, "TELEMETRY_STATUS")

    def _reports(self, ven_id: str, values: Mapping[str, Sequence[Any]], report_name: str) -> None:
        for wanted in self.offers(ven_id, *values, report_name=report_name).report_requests:
            intervals = tuple(
                Interval(duration=Duration("PT1M"), payloads=(OadrReportPayload(r_id=r_id, payload=payload),))
                for r_id, series in values.items()
                for payload in series
            )
            data = OadrReport(
                dtstart=START, intervals=intervals, report_request_id=wanted.report_request_id,
                report_specifier_id="load", report_name=report_name, created_date_time=START,
            )  # fmt: skip
            self.says(ven_id, OadrUpdateReport(request_id="u", reports=(data,), ven_id=ven_id))


class _Connection:
    """An HTTPConnection to an office."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def request(self, method: str, target: str, body: bytes | File | None, headers: dict[str, str]) -> None:
        raw = b"".join(body) if isinstance(body, File) else body
        headers = {name: value for name, value in headers.items() if name != "Content-Length"}  # the agent's own
        self._answer = self._office.ask(method, target, raw=raw, headers=headers)

    def getresponse(self) -> HTTPResponse:
        answer = self._answer
        head = "".join(
            f"{name.decode()}: {v.decode()}\r\n" for name, vs in answer.headers.getAllRawHeaders() for v in vs
        )
        lines = f"HTTP/1.1 {answer.status} .\r\nConnection: close\r\n{head}\r\n"

        class Socket:
            def makefile(self, mode: str) -> BytesIO:
                return BytesIO(lines.encode() + answer.body)

        response = HTTPResponse(cast(Any, Socket()))
        response.begin()
        return response

    def close(self) -> None:
        pass
