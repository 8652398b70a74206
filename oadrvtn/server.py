"""OpenADRServer: a VTN as an object, for programs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from .compose import VtnService, build
from .console.events import modify
from .console.reports import Request
from .console.shapes import EventChanges, Reader, show
from .machine import collect_garbage_seldom
from .model.config import Config, of
from .model.errors import InvalidData
from .model.event import EiTarget
from .model.values import Duration
from .security import fingerprint
from .storage import audit
from .storage.audit import Action
from .storage.database import Txn
from .storage.events import Event
from .storage.reports import ReportRequest
from .storage.vens import Ven
from .vtn import events, registration, requests
from .vtn.changes import Changes
from .vtn.clocks import make_steady
from .vtn.hooks import checked
from .vtn.outbox import with_room
from .vtn.reporter import Source
from .vtn.requests import RequestSpec
from .vtn.specs import EventSpec

T = TypeVar("T")

_TARGETS = {field.name for field in attrs.fields(EiTarget)}
_SIGNAL = ("signal_name", "signal_type", "intervals")


class OpenADRServer:
    """A VTN with a configuration of its own; several in one process share nothing.

    The arguments are the keys of the configuration, a section as a mapping:
    ``OpenADRServer(vtn_id="utility", listen={"port": 8443}, tls={"certificates": [...], "ca": [...]})``; paths are
    relative to the working directory.  Raises ConfigError with all mistakes at once.

    What is asked of it before it has started is done when it has; the Deferreds fire then.
    """

    def __init__(self, vtn_id: str = "oadrvtn", *, reactor: Any = None, **settings: Any) -> None:
        self._settings = {"vtn_id": vtn_id, **settings}
        self.config: Config = of(self._settings)
        self.service: VtnService | None = None
        self._reactor = reactor
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._sources: dict[str, Source] = {}
        self._waiting: list[Deferred[None]] | None = []

    def add_handler(self, name: str, function: Callable[..., Any]) -> None:
        """Have a function called, in the place of the one that had this name.  Raises ValueError."""
        self._handlers[checked(name, function)] = function
        if self.service:
            self.service.add_handler(name, function)

    # --- life -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, and run the reactor until somebody stops it; raises what keeps the VTN from starting."""
        reactor, failures = self._the_reactor(), []
        make_steady(reactor)

        def give_up(failure: Any) -> None:
            failures.append(failure)
            reactor.stop()

        reactor.callWhenRunning(lambda: self.start().addCallbacks(lambda _: collect_garbage_seldom(), give_up))
        reactor.addSystemEventTrigger("before", "shutdown", self.stop)
        reactor.run()
        for failure in failures:
            failure.raiseException()

    def start(self) -> Deferred[None]:
        """Listen and serve, on a reactor that runs.

        Fails with ConfigError, CertificateFileError, StartError or DatabaseError where that cannot be.
        """
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        if self.service:
            raise RuntimeError("this VTN has been started already")
        self.service = service = build(self.config, self._the_reactor(), self._sources)
        for name, function in self._handlers.items():
            service.add_handler(name, function)
        try:
            service.privilegedStartService()
            service.startService()
            await service.started
        except BaseException:
            await self.stop()
            raise
        waiting, self._waiting = self._waiting or [], None
        for one in waiting:
            one.callback(None)

    def stop(self) -> Deferred[Any]:
        """Take no more, answer what is in work, and close the database; it may be started again."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        service, self.service = self.service, None
        self._waiting = self._waiting or []
        if service:
            await service.stopService()

    def _the_reactor(self) -> Any:
        if self._reactor is None:
            from twisted.internet import reactor  # the program may install one until now

            self._reactor = reactor
        return self._reactor

    def _when_started(self, do: Callable[[VtnService], Any]) -> Deferred[Any]:
        started: Deferred[Any] = Deferred()
        if self._waiting is None:
            started.callback(None)
        else:
            self._waiting.append(started)
        return started.addCallback(self._begin, do)

    def _begin(self, _: None, do: Callable[[VtnService], Any]) -> Any:
        assert self.service
        return do(self.service)

    def _write(
        self, name: str, rule: Callable[..., Any], arguments: Callable[[VtnService], Sequence[Any]]
    ) -> Deferred[Any]:
        """Run a rule with arguments that are read when it runs, and have the audit log tell of it."""

        def audited(txn: Txn, *given: Any) -> tuple[Any, Changes]:
            reply, changes = rule(txn, *given)
            about = reply[0] if isinstance(reply, list) else reply
            asked = hashlib.sha256(repr((name, given[:-1])).encode()).digest()
            done = Action(who="program", action=name, object=_id_of(about), asked=asked, status=200)
            audit.append(txn, done, given[-1])
            return reply, changes

        return self._when_started(lambda service: service.vtn.write(name, audited, *arguments(service)))

    # --- VENs and events ------------------------------------------------------------------------------

    def add_ven(self, ven_id: str, *fingerprints: str, name: str | None = None) -> Deferred[Ven]:
        """Make a VEN known by the fingerprints of its one or two certificates, or give a known one these.

        Fails with InvalidData for what is no fingerprint, and with NotAllowed for another VEN's.
        """

        def arguments(service: VtnService) -> Sequence[Any]:
            try:
                known = [fingerprint.parse(one) for one in fingerprints]
            except ValueError as error:
                raise InvalidData.at("fingerprints", str(error)) from None
            return service.config, ven_id, name or ven_id, known, "operator"

        return self._write("add VEN", registration.add, arguments)

    def add_event(self, *, force: bool = False, **fields: Any) -> Deferred[Event]:
        """Make an event: the fields of EventSpec, of its one signal, and of EiTarget.

        ``add_event(market_context="http://utility.example/peak", dtstart="+10m", signal_name="SIMPLE",
        signal_type="level", intervals=[("15m", 2)], group_ids=["north"])``.  Durations are texts ("15m", "PT15M") or
        timedeltas, instants aware datetimes or texts ("now", "+10m", ISO 8601).  ``level`` and ``duration`` stand for
        one interval of SIMPLE, ``signals`` for several signals; without a target it is for every VEN.  Fails with
        InvalidData, which has all mistakes, and with NotAllowed; ``force`` as in ``vtn.events.create``.
        """
        rule = partial(events.create, force=force)
        return self._write(
            "add event", rule, lambda service: (Reader(service.vtn.now).read(EventSpec, _body(fields)), "operator")
        )

    def modify_event(
        self, event_id: str, modification_number: int | None = None, *, force: bool = False, **changes: Any
    ) -> Deferred[Event]:
        """Change fields of an event, named as in ``add_event``.

        Fails with OutOfSequence where it is not at this modification number, else like ``add_event``.
        """

        def arguments(service: VtnService) -> Sequence[Any]:
            return event_id, Reader(service.vtn.now).given(EventChanges, _body(changes)), modification_number, force

        return self._write("modify event", modify, arguments)

    def cancel_event(
        self, event_id: str, reason: str | None = None, modification_number: int | None = None
    ) -> Deferred[Event]:
        """Cancel an event for everybody."""
        return self._write("cancel event", events.cancel, lambda _: (event_id, modification_number, reason))

    # --- reports --------------------------------------------------------------------------------------

    def add_report(
        self,
        report_specifier_id: str,
        data_points: Sequence[Any],
        source: Source | None = None,
        **more: Any,
    ) -> Deferred[Any]:
        """Offer a report of this VTN to the VENs: the keys of ``[[offers]]``, with a function as the source.

        Raises ConfigError, and TypeError for a source that is no function.  The Deferred fires when VENs are told.
        """
        if source is not None and not callable(source):
            raise TypeError(f"source: {source!r} is no function")
        offer = {"report_specifier_id": report_specifier_id, "data_points": data_points, **more}
        if source:
            offer["source"] = f"added:report_{len(self._sources)}"
        settings = {**self._settings, "offers": [*self._settings.get("offers", ()), offer]}
        self.config, self._settings = of(settings), settings
        if source:
            self._sources[offer["source"]] = source
        return self._when_started(lambda service: service.reload(self.config))

    def request_report(
        self,
        ven_id: str,
        report_specifier_id: str,
        r_ids: Sequence[str] = (),
        *,
        granularity: float | timedelta | str = 0,
        report_back_duration: float | timedelta | str = 0,
        dtstart: datetime | str | None = None,
        duration: float | timedelta | str | None = None,
    ) -> Deferred[ReportRequest]:
        """Ask a VEN for a report that it offers, once or (with a report_back_duration) from now on.

        Times are as in ``add_event``, durations may be seconds, too; ``vtn.requests.RequestSpec`` says what they mean.
        Fails with InvalidData, InvalidID or NotAllowed, which is OutboxFull where as much waits for the VEN as may.
        """
        asked = {
            "report_specifier_id": report_specifier_id,
            "r_ids": r_ids,
            "granularity": granularity,
            "report_back_duration": report_back_duration,
            "dtstart": dtstart,
            "duration": duration,
        }
        body = {name: _plain(value) for name, value in asked.items() if value is not None}

        def arguments(service: VtnService) -> Sequence[Any]:
            wanted = Reader(service.vtn.now).read(Request, body)
            return ven_id, [RequestSpec(**attrs.asdict(wanted, recurse=False))]

        made = self._write("request report", with_room(self.config.limits.outbox, requests.request), arguments)
        return made.addCallback(lambda rows: rows[0])


def _id_of(row: Event | Ven | ReportRequest) -> str:
    return row.event_id if isinstance(row, Event) else row.ven_id


def _body(fields: dict[str, Any]) -> dict[str, Any]:
    """An event in the form that the API takes."""
    body = {name: _plain(value) for name, value in fields.items() if name not in _TARGETS}
    target = {
        name: [value] if isinstance(value, str) else _plain(value) for name, value in fields.items() if name in _TARGETS
    }
    if target:
        body["target"] = {**body.get("target", {}), **target}
    if "intervals" in body:
        signal = {name: body.pop(name) for name in _SIGNAL if name in body}
        signal["intervals"] = [
            {"duration": one[0], "value": one[1]} if isinstance(one, list) and len(one) == 2 else one
            for one in signal["intervals"]
        ]
        body["signals"] = [*body.get("signals", ()), signal]
    return body


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, timedelta):
        return str(Duration.of(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return show(value)
