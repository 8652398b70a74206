"""Simulated VENs that behave by the book: they register, poll, offer and send reports, and answer events.

Each lives by itself, or is led by a script: ``register``, ``poll`` and ``report`` are its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import attrs
from twisted.application.service import MultiService, Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ..model.event import (
    EiEvent,
    EiTarget,
    EnergyReal,
    EventResponse,
    Interval,
    OadrDistributeEvent,
    OadrPayloadResourceStatus,
    OadrReportPayload,
    PayloadFloat,
    PowerAttributes,
    PowerReal,
    Properties,
    QualifiedEventID,
)
from ..model.opt import OadrCreatedOpt
from ..model.party import (
    EiResponse,
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatedPartyRegistration,
    OadrRequestReregistration,
    OadrResponse,
)
from ..model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportDescription,
    OadrReportRequest,
    OadrSamplingRate,
    OadrUpdatedReport,
    OadrUpdateReport,
)
from ..model.schema import Message
from ..model.values import Duration, shown
from .client import Refused, VenClient, VenError, accepted, instant
from .load import FOREVER, HeldEvent, LoadCurve, after

log = Logger()

POLL = timedelta(seconds=10)  # where the VTN names no frequency
BACK_OFF = (1.0, 300.0)  # seconds: after the first failure, and at most
BUFFER = timedelta(hours=1)  # how long readings are kept for a report that cannot be sent
SAMPLE = timedelta(minutes=1)  # what one reading spans where the VTN names no granularity
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=366)  # what a VTN may ask for as a period

USAGE, STATUS, HISTORY, METADATA = "telemetry_usage", "telemetry_status", "history_usage", "METADATA"
"""The reportSpecifierIDs: of the reports that are offered, and of the offer itself (rule 306)."""

POWER, ENERGY, ONLINE = "power", "energy", "status"
"""The r_ids."""

UNITS = {
    POWER: PowerReal(
        item_units="W",
        si_scale_code="none",
        power_attributes=PowerAttributes(hertz=Decimal(50), voltage=Decimal(230), ac=True),
    ),
    ENERGY: EnergyReal(si_scale_code="none"),
}
OFFERS = {
    USAGE: ("TELEMETRY_USAGE", (POWER, ENERGY), "usage", "Direct Read"),
    STATUS: ("TELEMETRY_STATUS", (ONLINE,), "x-resourceStatus", "x-notApplicable"),
    HISTORY: ("HISTORY_USAGE", (POWER, ENERGY), "usage", "Direct Read"),
}
"""reportSpecifierID -> reportName, r_ids, reportType, readingType."""

Decide = Callable[[EiEvent], str]
"""Gives the optType for an event that is new or has changed."""


def _period(length: Duration, now: datetime) -> timedelta:
    return min(max(SHORTEST, after(now, length) - now), LONGEST)


def _verdict(request_id: str, problems: Sequence[str]) -> EiResponse:
    """All went well, or 452 with the IDs that are not known."""
    if problems:
        return EiResponse(response_code="452", response_description="; ".join(problems), request_id=request_id)
    return EiResponse.ok(request_id)


def opt_in(event: EiEvent) -> str:
    """The default: yes to everything."""
    return "optIn"


@attrs.define
class _Job:
    """A report request that is served: the next report goes out at ``due``, with the readings ``since``."""

    request: OadrReportRequest
    since: datetime
    due: datetime
    period: timedelta
    step: timedelta
    end: datetime = FOREVER
    last: bool = False  # nothing after the next report
    sent: int = 0
    told: object = None  # the status that was sent last

    @property
    def specifier_id(self) -> str:
        return self.request.report_specifier.report_specifier_id

    @property
    def on_change(self) -> bool:
        """A granularity of zero asks for a status when it is another one."""
        return self.specifier_id == STATUS and not (self.last or self.request.report_specifier.granularity)


@attrs.define(eq=False)
class SimulatedVen(Service):
    """One VEN, driven by its client's clock from startService to stopService.

    It does one thing after the other: register, poll, send the report that is due; so it never has two
    exchanges under way.  A failure makes it pause, longer each time; what could not be reported goes
    out with a later report.  ``delay``: seconds from startService to its first message.

    ``poll_frequency`` and ``report_period``, where they are given, are in place of what the VTN asks for; the first
    report comes after a random part of its period then, so that a fleet spreads its reports out.
    ``opts_per_hour``: so often, on average, it sends another schedule of opts.  ``longest_pause``: seconds that it
    waits at most after a failure.

    One that is not started does nothing but what it is told by ``register``, ``poll`` and ``report``.
    """

    client: VenClient
    load: LoadCurve = attrs.field()
    decide: Decide = opt_in
    delay: float = 0.0
    poll_frequency: timedelta | None = None
    report_period: timedelta | None = None
    opts_per_hour: float = 0.0
    longest_pause: float = BACK_OFF[1]
    registered: bool = attrs.field(default=False, init=False)
    events: dict[str, HeldEvent] = attrs.field(factory=dict, init=False)
    _jobs: dict[str, _Job] = attrs.field(factory=dict, init=False)
    _offered: bool = attrs.field(default=False, init=False)
    _poll_freq: timedelta = attrs.field(default=POLL, init=False)
    _poll_due: datetime = attrs.field(default=FOREVER, init=False)
    _random: Random = attrs.field(init=False)
    _life: Deferred[None] = attrs.field(factory=lambda: succeed(None), init=False, repr=False)

    @load.default
    def _load_default(self) -> LoadCurve:
        return LoadCurve.of(self.client.ven_name)

    @_random.default
    def _random_default(self) -> Random:
        return Random(self.client.ven_name)

    def startService(self) -> None:
        super().startService()
        self._life = Deferred.fromCoroutine(self._live())

    def stopService(self) -> Deferred[None]:
        """Stop at once, whatever is under way; fires when the connections are closed."""
        super().stopService()
        self._life.cancel()
        return self.client.close()

    @property
    def pending_reports(self) -> tuple[str, ...]:
        """The reportRequestIDs that are still to be served (rule 329)."""
        return tuple(self._jobs)

    def power(self, moment: datetime) -> float:
        """The load in W, as the events leave it."""
        load = self.load(moment)
        for held in self.events.values():
            load = held.bend(load, moment)
        return load

    # --- one thing after the other --------------------------------------------------------------------

    async def _live(self) -> None:
        try:
            await self._sleep(self.delay)
            failures = 0
            while self.running:
                try:
                    await self._step()
                    failures = 0
                except Exception as error:
                    if not self.running:
                        return  # what was under way has been cut off
                    failures += 1
                    await self._recover(error, failures)
        except CancelledError:
            pass

    async def _recover(self, error: Exception, failures: int) -> None:
        pause = min(self.longest_pause, BACK_OFF[0] * 2 ** min(failures - 1, 16)) * self._random.uniform(0.9, 1.1)
        told = {"ven": self.client.ven_name, "error": error, "pause": pause}
        if isinstance(error, VenError):
            log.warn("{ven}: {error}; goes on in {pause:.0f} s", **told)
        else:
            log.failure("{ven}: a mistake of its own; goes on in {pause:.0f} s", **told)
        await self._sleep(pause)

    async def _step(self) -> None:
        if not self.registered:
            await self.register()
        elif self._jobs and min(job.due for job in self._jobs.values()) < self._poll_due:
            await self.report()
        else:
            await self._sleep_until(self._poll_due)
            await self.poll()

    def _now(self) -> datetime:
        return instant(self.client.clock)

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self.client.clock, max(0.0, seconds), lambda: None)

    def _sleep_until(self, moment: datetime) -> Deferred[None]:
        seconds = (moment - self._now()).total_seconds()
        return self._sleep(seconds) if seconds > 0 else succeed(None)

    # --- registration and poll ------------------------------------------------------------------------

    async def register(self) -> None:
        """Register, again with the registrationID there is; all that was requested before is over."""
        try:
            if self.client.registration_id is None:
                accepted(await self.client.query(), OadrCreatedPartyRegistration)
            answer = accepted(await self.client.register(), OadrCreatedPartyRegistration)
        except Refused as refused:
            self._forget_if_unknown(refused)
            raise
        self._poll_due = now = self._now()
        asked = answer.requested_poll_freq
        self._poll_freq = self.poll_frequency or (_period(asked, now) if asked else POLL)
        self._jobs.clear()  # a registration ends what was requested before it
        self._offered = False
        self.registered = True
        log.info(
            "{ven}: registered as {ven_id}, polls every {seconds:g} s",
            ven=self.client.ven_name,
            ven_id=shown(self.client.ven_id),
            seconds=self._poll_freq.total_seconds(),
        )

    def resume(self, ven_id: str, registration_id: str) -> None:
        """Go on with a registration of before, and with what was offered then."""
        self.client.ven_id, self.client.registration_id = ven_id, registration_id
        self._poll_freq = self.poll_frequency or POLL
        self._poll_due = self._now()
        self.registered = self._offered = True

    def _forget_if_unknown(self, refused: Refused) -> None:
        """Begin anew, without IDs, where the VTN knows neither the VEN nor its registration."""
        if refused.response_code in ("452", "463"):
            self.client.ven_id = self.client.registration_id = None
            self.registered = False

    async def poll(self) -> Message:
        """Poll once and do what is asked; what that was."""
        # Never sooner than asked for, and not in step with the others.
        self._poll_due = self._now() + self._poll_freq * self._random.uniform(1.0, 1.1)
        try:
            message = accepted(await self.client.poll(), Message)
        except Refused as refused:
            self._forget_if_unknown(refused)
            raise
        if answer := ANSWERS.get(type(message)):
            self._poll_due = self._now()  # there may be more
            await answer(self, message)
        elif not isinstance(message, OadrResponse):
            log.warn("{ven}: cannot do anything with {name}", ven=self.client.ven_name, name=message.name())
        if self.registered and not self._offered:
            await self._offer()
        chance = self.opts_per_hour * (self._poll_freq / timedelta(hours=1))
        for _ in range(int(chance + self._random.random()) if chance else 0):
            await self._opt()
        return message

    async def _opt(self) -> None:
        """Say when it is available tomorrow, in place of what it said last."""
        start = self._now().replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
        length = Duration.of(timedelta(hours=self._random.randint(1, 8)))
        accepted(
            await self.client.create_opt(
                self._random.choice(("optIn", "optOut")),
                "x-schedule",
                available=[Properties(dtstart=start, duration=length)],
                opt_id=f"{self.client.ven_name}_tomorrow",
            ),
            OadrCreatedOpt,
        )

    async def _say(self, message: Message, service: str | None = None) -> None:
        """Send what the VTN answers with oadrResponse."""
        accepted(await self.client.send(message, service), Message)

    async def _on_cancel_registration(self, message: OadrCancelPartyRegistration) -> None:
        """Say goodbye, and nothing more until startService."""
        answer = OadrCanceledPartyRegistration(
            response=EiResponse.ok(message.request_id),
            registration_id=message.registration_id,
            ven_id=self.client.ven_id,
        )
        await self._say(answer)
        self.client.registration_id = None
        self.registered = False
        self.running = False
        log.info("{ven}: the VTN cancelled the registration", ven=self.client.ven_name)

    async def _on_request_reregistration(self, message: OadrRequestReregistration) -> None:
        self.registered = False
        await self._say(OadrResponse(response=EiResponse.ok(), ven_id=self.client.ven_id), "EiRegisterParty")

    # --- events ---------------------------------------------------------------------------------------

    async def _on_distribute_event(self, message: OadrDistributeEvent) -> None:
        responses = []
        held = {}
        for entry in message.events:
            event_id = entry.event.descriptor.event_id
            known = self.events.get(event_id)
            held[event_id], response = self._weigh(entry.event, known, message.request_id)
            if entry.response_required == "always":
                responses.append(response)
        for event_id in self.events.keys() - held.keys():
            log.info("{ven}: event {event} is withdrawn", ven=self.client.ven_name, event=shown(event_id))
        self.events = held
        if responses:
            accepted(await self.client.created_event(responses), Message)

    def _weigh(self, event: EiEvent, known: HeldEvent | None, request_id: str) -> tuple[HeldEvent, EventResponse]:
        """What the VEN then holds of an event, and its answer to it."""
        number = event.descriptor.modification_number
        code, reason = "200", "OK"
        if known and number < known.event.descriptor.modification_number:
            held, code, reason = known, "450", "a later modification is known"  # rule 58
        elif known and number == known.event.descriptor.modification_number:
            held = attrs.evolve(known, event=event)  # the status may have moved on
        else:
            held = self._take(event, known)
        response = EventResponse(
            response_code=code,
            response_description=reason,
            request_id=request_id,  # rule 42
            qualified_event_id=QualifiedEventID(event_id=event.descriptor.event_id, modification_number=number),
            opt_type=held.opt_type,
        )
        return held, response

    def _take(self, event: EiEvent, known: HeldEvent | None) -> HeldEvent:
        cancelled = event.descriptor.event_status == "cancelled"
        opt_type = "optIn" if cancelled else self.decide(event)  # rule 36
        tolerance = event.active_period.properties.startafter
        now = self._now()
        delay = known.delay if known else (after(now, tolerance) - now) * self._random.random()
        log.info(
            "{ven}: {what} event {event}, modification {number}",
            ven=self.client.ven_name,
            what="was told of the end of" if cancelled else f"opted {opt_type.removeprefix('opt').lower()} to",
            event=shown(event.descriptor.event_id),
            number=event.descriptor.modification_number,
        )
        return HeldEvent(event, opt_type, delay)

    # --- reports: what the VEN offers, what is requested, what is cancelled ---------------------------

    async def _on_register_report(self, message: OadrRegisterReport) -> None:
        await self._say(OadrRegisteredReport(response=EiResponse.ok(message.request_id), ven_id=self.client.ven_id))

    async def _offer(self) -> None:
        """Say what can be reported, and serve what the VTN asks for in its answer (rule 301)."""
        reports = [self._metadata(specifier) for specifier in OFFERS]
        answer = accepted(await self.client.register_reports(reports), OadrRegisteredReport)
        self._offered = True
        if answer.report_requests:
            await self._serve(answer.report_requests, answer.response.request_id)

    def _metadata(self, specifier: str) -> OadrReport:
        name, r_ids, report_type, reading_type = OFFERS[specifier]
        rate = OadrSamplingRate(
            min_period=Duration.of(SHORTEST), max_period=Duration.of(BUFFER), on_change=specifier == STATUS
        )
        return OadrReport(
            duration=Duration.of(BUFFER),
            descriptions=tuple(
                OadrReportDescription(
                    r_id=r_id,
                    data_source=EiTarget(resource_ids=(f"{self.client.ven_name}_site",)),
                    report_type=report_type,
                    item_base=UNITS.get(r_id),
                    reading_type=reading_type,
                    sampling_rate=rate,
                )
                for r_id in r_ids
            ),
            report_request_id="0",  # rule 311
            report_specifier_id=specifier,
            report_name=f"METADATA_{name}",
            created_date_time=self._now(),
        )

    async def _on_create_report(self, message: OadrCreateReport) -> None:
        await self._serve(message.report_requests, message.request_id)

    async def _serve(self, requests: Iterable[OadrReportRequest], request_id: str) -> None:
        """Begin with what can be served, and tell all that is pending."""
        problems = []
        for request in requests:
            specifier = request.report_specifier
            _, r_ids, *_ = OFFERS.get(specifier.report_specifier_id, (None, ()))
            if specifier.report_specifier_id == METADATA and not specifier.report_back_duration:
                self._offered = False  # to be offered once more (rule 327)
            elif specifier.report_specifier_id == METADATA:
                self._jobs[request.report_request_id] = self._job(request)
            elif not {payload.r_id for payload in specifier.specifier_payloads} <= set(r_ids):
                problems.append(f"{request.report_request_id}: such a report is not offered")
            elif (job := self._job(request)).end > self._now() or job.specifier_id == HISTORY:
                self._jobs[request.report_request_id] = job
        await self._say(
            OadrCreatedReport(
                response=_verdict(request_id, problems),
                pending_reports=self.pending_reports,
                ven_id=self.client.ven_id,
            )
        )

    def _job(self, request: OadrReportRequest) -> _Job:
        specifier, now = request.report_specifier, self._now().replace(microsecond=0)
        window = specifier.report_interval
        start = window.dtstart if window else now
        end = after(start, window.duration) if window and window.duration else FOREVER
        step = _period(specifier.granularity, now) if specifier.granularity else None
        if not specifier.report_back_duration:  # one report only (rule 324)
            step = step or SAMPLE
            if specifier.report_specifier_id == HISTORY:  # of a window, or all there is
                since, end = (start, end) if end < FOREVER else (now - BUFFER, now)
                return _Job(request, since, max(end, now), self._poll_freq, step, end, last=True)
            due = max(start, now)
            return _Job(request, due - step, due, self._poll_freq, step, end, last=True)
        period = self.report_period or _period(specifier.report_back_duration, now)
        since = start + max(0, (now - start) // period) * period
        # A fleet whose VENs all begin with a whole period reports in the order in which it came.
        part = 1.0 if self.report_period is None else self._random.random()
        first = since + max(period * part, min(step or period, period))
        return _Job(request, since, min(first, end), period, step or period, end)

    async def _on_cancel_report(self, message: OadrCancelReport) -> None:
        problems = [f"{one}: is not pending" for one in message.report_request_ids if one not in self._jobs]
        for one in self._jobs.keys() & set(message.report_request_ids):
            if message.report_to_follow:
                self._jobs[one].last = True
            else:
                del self._jobs[one]
        await self._say(
            OadrCanceledReport(
                response=_verdict(message.request_id, problems),
                pending_reports=self.pending_reports,
                ven_id=self.client.ven_id,
            )
        )

    async def _on_update_report(self, message: OadrUpdateReport) -> None:
        await self._say(OadrUpdatedReport(response=EiResponse.ok(message.request_id), ven_id=self.client.ven_id))

    # --- reports: the data ----------------------------------------------------------------------------

    async def report(self) -> None:
        """Wait for the report that is due next, and send it; do not call it where none is pending."""
        job = min(self._jobs.values(), key=lambda job: job.due)
        await self._sleep_until(job.due)
        if job.specifier_id != METADATA:
            return await self._report(job)
        job.due += job.period
        if job.last or job.due > job.end:
            self._jobs.pop(job.request.report_request_id, None)
        await self._offer()

    async def _report(self, job: _Job) -> None:
        """Send the report that is due, with all readings up to now that were not sent yet."""
        missed = max(0, (self._now() - job.due) // job.period)
        until = min(job.due + missed * job.period, job.end)
        job.due = until + job.period  # where this one fails, its readings go with the next
        report = self._readings(job, until)
        told = [interval.payloads for interval in report.intervals[-1:]]
        answer = None
        if not (job.on_change and told == job.told):
            answer = await self._send(job, report)
        job.since, job.told = until, told
        job.due = min(job.due, job.end)
        if job.last or until >= job.end:
            self._jobs.pop(job.request.report_request_id, None)
        if answer and answer.cancel_report:
            await self._on_cancel_report(answer.cancel_report)

    async def _send(self, job: _Job, report: OadrReport) -> OadrUpdatedReport:
        try:
            answer = accepted(await self.client.update_report(report), OadrUpdatedReport)
        except Refused as refused:
            if refused.response_code == "452":
                self._jobs.pop(job.request.report_request_id, None)  # nobody asked for it
            raise
        self._tell(job, len(report.intervals))
        return answer

    def _tell(self, job: _Job, readings: int) -> None:
        """One line for the first report of a request, then they are for the patient."""
        tell = log.debug if job.sent else log.info
        tell(
            "{ven}: sent {readings} readings of {what}{again}",
            ven=self.client.ven_name,
            readings=readings * len(job.request.report_specifier.specifier_payloads),
            what=job.request.report_specifier.report_specifier_id,
            again="" if job.last else f", and will every {job.period.total_seconds():g} s",
        )
        job.sent += 1

    def _readings(self, job: _Job, until: datetime) -> OadrReport:
        specifier = job.request.report_specifier
        start = moment = max(job.since, until - BUFFER)
        intervals: list[Interval] = []
        while moment < until:
            step = min(job.step, until - moment)
            intervals.append(
                Interval(
                    dtstart=moment,
                    duration=Duration.of(step),
                    uid=str(len(intervals)),
                    payloads=tuple(
                        self._reading(payload.r_id, moment, step) for payload in specifier.specifier_payloads
                    ),
                )
            )
            moment += step
        return OadrReport(
            dtstart=start,
            duration=Duration.of(until - start),
            intervals=tuple(intervals),
            report_request_id=job.request.report_request_id,
            report_specifier_id=specifier.report_specifier_id,
            report_name=OFFERS[specifier.report_specifier_id][0],
            created_date_time=self._now(),
        )

    def _reading(self, r_id: str, start: datetime, step: timedelta) -> OadrReportPayload:
        payload: PayloadFloat | OadrPayloadResourceStatus
        if r_id == ONLINE:
            opted_out = any(
                held.opt_type == "optOut" and held.status(start) == "active" for held in self.events.values()
            )
            payload = OadrPayloadResourceStatus(online=True, manual_override=opted_out)
        else:
            hours = step / timedelta(hours=1) if r_id == ENERGY else 1.0
            payload = PayloadFloat(value=round(self.power(start) * hours, 3))
        return OadrReportPayload(r_id=r_id, confidence=100, payload=payload, data_quality="Quality Good - Non Specific")


ANSWERS: dict[type[Message], Callable[[SimulatedVen, Any], Coroutine[Any, Any, None]]] = {
    OadrRegisterReport: SimulatedVen._on_register_report,
    OadrCreateReport: SimulatedVen._on_create_report,
    OadrCancelReport: SimulatedVen._on_cancel_report,
    OadrUpdateReport: SimulatedVen._on_update_report,
    OadrDistributeEvent: SimulatedVen._on_distribute_event,
    OadrCancelPartyRegistration: SimulatedVen._on_cancel_registration,
    OadrRequestReregistration: SimulatedVen._on_request_reregistration,
}
"""What a poll may bring -> what the VEN does about it."""


class Fleet(MultiService):
    """Simulated VENs that begin ``gap`` seconds after one another and stop together."""

    def __init__(self, clients: Sequence[VenClient], gap: float = 1.0, decide: Decide = opt_in) -> None:
        super().__init__()
        self.vens = [SimulatedVen(client, decide=decide, delay=number * gap) for number, client in enumerate(clients)]
        for ven in self.vens:
            ven.setServiceParent(self)
