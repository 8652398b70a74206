"""openleadr's VEN as a program: runs in openleadr's own environment, and notes each exchange as a line of JSON.

    python openleadr_ven.py '{"name": ..., "url": ..., "cert": ..., "key": ..., "ca": ...}'

A line of JSON on stdin calls a method of the client: ``["cancel_party_registration"]``.  The notes are
written when the exchange is over; ``by`` is the method that was called, if one was.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import json
import ssl
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml import etree
from openleadr import OpenADRClient, enums  # type: ignore[import-not-found]
from openleadr.objects import Target, Vavailability, VavailabilityComponent  # type: ignore[import-not-found]

_VALUES = itertools.count(1)
_CALLED: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "the method that was called by a line on stdin", default=None
)
_RECEIVED: contextvars.ContextVar[list[str]] = contextvars.ContextVar("what the exchange of this task received")


def texts(element: Any, *names: str) -> list[str]:
    """The texts of the first elements of these names within an element, whatever their namespaces."""
    return [element.xpath(f"string((.//*[local-name()='{name}'])[1])") for name in names]


def parts(element: Any, name: str) -> list[Any]:
    """All elements of a name within an element."""
    return element.xpath(f".//*[local-name()='{name}']")


def note(**what: Any) -> None:
    """Write a line."""
    print(json.dumps(what), flush=True)


class NotingVen(OpenADRClient):
    """The client, which notes what it sent and what it got."""

    async def _perform_request(self, service: str, message: str) -> Any:
        received: list[str] = []
        _RECEIVED.set(received)
        sent = parts(etree.fromstring(message.encode()), "oadrSignedObject")[0][0]
        answer = await super()._perform_request(service, message)
        got, signed = etree.Element("nothing"), False
        if received:
            document = etree.fromstring(received[0].encode())
            got, signed = parts(document, "oadrSignedObject")[0][0], bool(parts(document, "Signature"))
        note(
            by=_CALLED.get(),
            sent=etree.QName(sent).localname,
            answers=[texts(one, "eventID", "modificationNumber", "optType") for one in parts(sent, "eventResponse")],
            readings=[
                [*texts(sent, "reportRequestID"), *texts(one, "rID"), float(texts(one, "value")[0])]
                for one in parts(sent, "interval")
            ],
            got=etree.QName(got).localname,
            signed=signed,
            understood=bool(answer and answer[0]),
            code=texts(got, "responseCode")[0],
            events=[texts(one, "eventID", "modificationNumber", "eventStatus") for one in parts(got, "oadrEvent")],
            requests=[texts(one, "reportRequestID")[0] for one in parts(got, "oadrReportRequest")],
        )
        return answer

    async def opt_out_for_an_hour(self) -> None:
        """A schedule of its own, by oadrCreateOpt."""
        away = VavailabilityComponent(dtstart=datetime.now(UTC), duration=timedelta(hours=1))
        await self.create_opt(
            enums.OPT.OPT_OUT,
            enums.OPT_REASON.NOT_PARTICIPATING,
            [Target(ven_id=self.ven_id)],
            vavailability=Vavailability(components=[away]),
            opt_id="away",
        )

    async def opt_in_to(self, event_id: str, modification_number: int) -> None:
        """A word on one event, by oadrCreateOpt."""
        await self.create_opt(
            enums.OPT.OPT_IN,
            enums.OPT_REASON.MUST_RUN,
            [Target(ven_id=self.ven_id)],
            event_id=event_id,
            modification_number=modification_number,
            opt_id="this-one",
        )


async def main(options: dict[str, Any]) -> None:
    """Run the VEN until stdin is closed."""
    ven = NotingVen(
        options["name"],
        options["url"],
        cert=options["cert"],
        key=options["key"],
        ca_file=options["ca"],
        disable_signature=not options.get("signs"),
        vtn_fingerprint=options.get("vtn_fingerprint"),  # what it gets must be signed by this one then
        show_fingerprint=False,
    )
    if options.get("tls_1_2_only"):
        await ven._ensure_client_session()
        ven.client_session.connector._ssl.maximum_version = ssl.TLSVersion.TLSv1_2
    ven.add_hook("after_receive_xml", lambda xml: _RECEIVED.get().append(xml))
    ven.add_report(
        lambda: float(next(_VALUES)),
        resource_id="site",
        measurement="power_real",
        report_specifier_id="usage",
        r_id="load",
        sampling_rate=timedelta(seconds=1),
    )
    opt = {"on_event": "optIn", "on_update_event": "optOut"}
    for handler, word in opt.items():
        ven.add_handler(handler, lambda event, word=word: asyncio.sleep(0, word))
    await ven.run()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        method, *arguments = json.loads(line)
        _CALLED.set(method)
        await getattr(ven, method)(*arguments)
    await ven.stop()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
