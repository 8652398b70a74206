"""The other end of a comparison: VENs on threads, with plain sockets and messages that are made beforehand.

A program on a core of its own.  Each line on stdin is a command as JSON, each answered by a line:
``start`` (a job), ``touch`` (a message of each VEN, connected where it is not), ``prepare`` (so many messages) and
``go`` (send them: as fast as they are answered, or at a rate, whatever is answered).  Every answer is looked at: its
status, the element, the response code, whether it is signed; one that is not as it must be ends the program.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from oadrvtn.model.event import EiTarget, Interval, OadrReportPayload, PayloadFloat, PowerAttributes, PowerReal
from oadrvtn.model.party import OadrPoll
from oadrvtn.model.report import (
    OadrRegisterReport,
    OadrReport,
    OadrReportDescription,
    OadrSamplingRate,
    OadrUpdateReport,
)
from oadrvtn.model.values import Duration
from oadrvtn.security.certificates import Credential
from oadrvtn.security.signature import Signer
from oadrvtn.wire import encode

from .scenarios import SCENARIOS, Scenario

_THREADS = 8
_PATIENCE = 60.0
_PATH = "/OpenADR2/Simple/2.0b"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CODE = re.compile(rb"responseCode>(\d+)<")
_REQUEST = re.compile(rb"reportRequestID>([^<]+)<")
FIRST_DAY = date(2001, 1, 1)
"""The day of the readings of a VEN's first report: the next has the day after."""


def _offer(ven_id: str) -> OadrRegisterReport:
    """A VEN that can report its power."""
    power = PowerReal(
        item_units="W",
        si_scale_code="none",
        power_attributes=PowerAttributes(hertz=Decimal(50), voltage=Decimal(230), ac=True),
    )
    description = OadrReportDescription(
        r_id="power",
        data_source=EiTarget(resource_ids=(f"{ven_id}_site",)),
        report_type="usage",
        item_base=power,
        reading_type="Direct Read",
        sampling_rate=OadrSamplingRate(min_period=Duration("PT1S"), max_period=Duration("PT1H"), on_change=False),
    )
    report = OadrReport(
        duration=Duration("PT1H"),
        descriptions=(description,),
        report_request_id="0",
        report_specifier_id="usage",
        report_name="METADATA_TELEMETRY_USAGE",
        created_date_time=datetime.now(UTC),
    )
    return OadrRegisterReport(request_id="offer", reports=(report,), ven_id=ven_id)


def report(ven_id: str, request: str, intervals: int) -> bytes:
    """A report of that many minutes of ``FIRST_DAY``."""
    start = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
    minute = timedelta(minutes=1)
    report = OadrReport(
        dtstart=start,
        duration=Duration.of(intervals * minute),
        intervals=tuple(
            Interval(
                dtstart=start + number * minute,
                duration=Duration("PT1M"),
                uid=str(number),
                payloads=(
                    OadrReportPayload(
                        r_id="power",
                        confidence=100,
                        payload=PayloadFloat(value=1000.5 + number),
                        data_quality="Quality Good - Non Specific",
                    ),
                ),
            )
            for number in range(intervals)
        ),
        report_request_id=request,
        report_specifier_id="usage",
        report_name="TELEMETRY_USAGE",
        created_date_time=datetime.now(UTC),
    )
    return encode(OadrUpdateReport(request_id="data", reports=(report,), ven_id=ven_id))


class WrongAnswer(Exception):
    """An ``answer`` that is not what the scenario must get."""

    def __init__(self, why: str, answer: bytes = b"") -> None:
        super().__init__(why)
        self.answer = answer


def check(answer: bytes, expected: bytes, signed: bool) -> None:
    """Raise WrongAnswer for an HTTP answer with another status, element, code, or with or without a signature."""
    head, _, body = answer.partition(b"\r\n\r\n")
    faults = [
        fault
        for fault, there in {
            "status": not head.startswith(b"HTTP/1.1 200"),
            "element": expected not in body,
            "code": set(_CODE.findall(body)) - {b"200"},
            "signature": (b"SignatureValue" in body) != signed,
        }.items()
        if there
    ]
    if faults:
        raise WrongAnswer(f"{faults} not as expected ({expected!r}): {answer[:3000]!r}", answer)


class Ven:
    """One VEN: its certificate, its connection, its message."""

    def __init__(self, job: dict[str, Any], scenario: Scenario, name: str) -> None:
        files = [str(Path(job["certs"], f"{name}{end}")) for end in (".crt", ".key")]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.load_verify_locations(job["ca"])
        self._context.load_cert_chain(*files)
        self._signer = Signer(Credential.load(*files)) if scenario.signed else None
        self._address = "127.0.0.1", job["port"]
        self._socket: ssl.SSLSocket | None = None
        self._scenario = scenario
        self.sent = 0
        self._document = self.poll = encode(OadrPoll(ven_id=name))
        self._service = "OadrPoll"
        self.name = name
        self.answer = b""

    def begin_to_report(self, offer: bool) -> None:
        """Send reports from now on; ``offer`` them first, so that the VTN asks for them."""
        request = "nobody-asked"
        if offer:
            answer = self.send(self.request("EiReport", encode(_offer(self.name))), b"oadrRegisteredReport")
            found = _REQUEST.search(answer)
            if found is None:
                raise WrongAnswer(f"{self.name}: the VTN wants no report: {answer!r}")
            request = found[1].decode()
        self._service, self._document = "EiReport", report(self.name, request, self._scenario.intervals)

    def message(self) -> bytes:
        """The next message, as it goes out."""
        document = self._document
        if self._scenario.intervals:
            day = FIRST_DAY + timedelta(days=self.sent)
            self.sent += 1
            document = document.replace(FIRST_DAY.isoformat().encode(), day.isoformat().encode())
        return self.request(self._service, document)

    def drip(self, data: bytes) -> None:
        """Send some bytes; raises OSError where the connection is gone."""
        if self._socket:
            self._socket.sendall(data)

    def touch(self) -> None:
        """Be seen, by a poll, on a connection that may have to be made anew."""
        request = self.request("OadrPoll", self.poll)
        try:
            self.send(request, b"oadr")
        except OSError:
            self.close()
            self.send(request, b"oadr")

    def request(self, service: str, document: bytes) -> bytes:
        """A document as it goes out."""
        if self._signer:
            document = self._signer.sign(document, datetime.now(UTC))
        head = f"POST {_PATH}/{service} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/xml\r\n"
        return f"{head}Content-Length: {len(document)}\r\n\r\n".encode() + document

    def send(self, request: bytes, expected: bytes) -> bytes:
        """The body of the answer."""
        if self._socket is None:
            plain = socket.create_connection(self._address, _PATIENCE)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = self._context.wrap_socket(plain, server_hostname="localhost")
        self._socket.sendall(request)
        data = self._socket.recv(65536)
        while True:
            head, empty, body = data.partition(b"\r\n\r\n")
            length = _LENGTH.search(head) if empty else None
            if length and len(body) >= int(length[1]):
                break
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError(f"{self.name}: closed within an answer: {data[:300]!r}")
            data += more
        if self._scenario.fresh:
            self.close()
        check(data, expected, self._scenario.signed)
        return body

    def close(self) -> None:
        """Be without a connection."""
        if self._socket:
            self._socket.close()
            self._socket = None


class Load:
    """All VENs of a job."""

    def start(self, job: dict[str, Any]) -> dict[str, Any]:
        """Get the certificates and offer reports."""
        self._scenario = SCENARIOS[job["scenario"]]
        self.expected = self._scenario.answer.encode()
        self.vens = [Ven(job, self._scenario, name) for name in job["vens"]]
        self._next = 0
        if self._scenario.intervals:
            self.together(self.vens, lambda _, ven: ven.begin_to_report(job["offer"]))
        return {}

    def touch(self, _: dict[str, Any]) -> dict[str, Any]:
        """Have every VEN seen."""
        self.together(self.vens, lambda _, ven: ven.touch())
        return {}

    def prepare(self, job: dict[str, Any]) -> dict[str, Any]:
        """Make messages of the VENs in turn."""
        count = len(self.vens)
        turn = [self.vens[(self._next + number) % count] for number in range(job["count"])]
        self._next = (self._next + job["count"]) % count
        self._messages = [(ven, ven.message()) for ven in turn]
        return {}

    def go(self, job: dict[str, Any]) -> dict[str, Any]:
        """Send them: how long that took, and with a rate the time from when each was due to its answer."""
        rate, latencies = job["rate"], [0.0] * len(self._messages)
        started = time.monotonic()

        def send(number: int, message: tuple[Ven, bytes]) -> None:
            due = started + number / rate if rate else 0.0
            if rate and (wait := due - time.monotonic()) > 0:
                time.sleep(wait)
            message[0].answer = message[0].send(message[1], self.expected)
            latencies[number] = time.monotonic() - due

        self.together(self._messages, send)
        seconds = time.monotonic() - started
        answer = self._messages[-1][0].answer.decode()
        return {"seconds": seconds, "answer": answer, "latencies": latencies if rate else []}

    def together(self, items: Sequence[Any], do: Callable[[int, Any], object]) -> None:
        """All items, in their order, on several threads: no VEN is on two of them."""
        failures: list[Exception] = []
        place = {ven.name: number % _THREADS for number, ven in enumerate(self.vens)}

        def work(thread: int) -> None:
            try:
                for number, item in enumerate(items):
                    ven = item[0] if isinstance(item, tuple) else item
                    if place[ven.name] == thread:
                        do(number, item)
                    if failures:
                        return
            except Exception as failure:
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


def main(load: Load) -> None:
    """Do what stdin says, until it is closed."""
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(load, command["do"])(command)), flush=True)


if __name__ == "__main__":
    main(Load())
