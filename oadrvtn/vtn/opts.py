"""Rules of EiOpt: schedules of availability, and what a VEN says of one event outside oadrCreatedEvent (8.5).

Also what operators see of them: a VEN's schedule as a timeline, and how many VENs are available in a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from heapq import heappop, heappush
from itertools import groupby

import attrs

from ..model.config import Config
from ..model.errors import InvalidData, InvalidID, NotAllowed, OutOfSequence, TargetMismatch
from ..model.event import EiTarget, QualifiedEventID
from ..model.opt import OadrCanceledOpt, OadrCancelOpt, OadrCreatedOpt, OadrCreateOpt
from ..model.party import EiResponse
from ..model.values import shown
from ..storage import audience, events, opts
from ..storage.database import Txn
from ..storage.opts import Opt, Span
from ..storage.vens import Ven
from ..wire.codec import from_xml, to_xml
from .changes import NOTHING, Changes
from .events import opt_type, sent_line

MOST = 10_000
"""So many opts and periods of schedules may stand of one VEN."""


def create(txn: Txn, config: Config, ven: Ven, message: OadrCreateOpt, now: datetime) -> tuple[OadrCreatedOpt, Changes]:
    """Keep an opt; one of an optID that is known revises it, also from an event to a schedule and back.

    Exactly one of qualifiedEventID and vavailability is given, else 454.  An opt on a whole event becomes
    the VEN's opt, over what oadrCreatedEvent says (rule 206); one for resources or device classes does not.
    """
    if (message.qualified_event_id is None) == (not message.available):
        raise InvalidData("oadrCreateOpt: holds exactly one of qualifiedEventID and vavailability")
    _check_target(txn, ven.ven_id, message.target)
    if message.qualified_event_id:
        _check_event(txn, ven.ven_id, message.qualified_event_id)
    before = opts.get(txn, ven.ven_id, message.opt_id)
    opt = Opt(
        ven_id=ven.ven_id,
        opt_id=message.opt_id,
        event_id=message.qualified_event_id.event_id if message.qualified_event_id else None,
        opt_type=message.opt_type,
        whole_ven=not _limits(message),
        opt_reason=message.opt_reason,
        market_context=message.market_context or None,
        document=to_xml(message),
        received_at=now,
    )
    opts.put(txn, opt, _periods(message))
    _check_size(txn, ven.ven_id, now)
    for event_id in {before and before.event_id, opt.event_id} - {None}:
        _apply(txn, ven.ven_id, str(event_id))
    return OadrCreatedOpt(response=EiResponse.ok(message.request_id), opt_id=message.opt_id), NOTHING


def _check_target(txn: Txn, ven_id: str, target: EiTarget) -> None:
    """A VEN speaks for itself alone, or for resources of its own, as far as they are known."""
    place = "oadrCreateOpt/eiTarget"
    strangers = [other for other in target.ven_ids if other not in ("", ven_id)]
    if strangers:
        raise TargetMismatch(f"{place}/venID: {shown(strangers[0])} is not this VEN")
    wider = [value for value in (*target.group_ids, *target.group_names, *target.party_ids) if value]
    if wider:
        raise TargetMismatch(f"{place}: {shown(wider[0])} is a group or a party, not this VEN")
    known = {trait.value for trait in audience.traits_of(txn, ven_id) if trait.kind == "resource_ids"}
    unknown = [value for value in target.resource_ids if value and value not in known]
    if known and unknown:
        raise InvalidID(f"{place}/resourceID: {shown(unknown[0])} is no resource of this VEN")


def _check_event(txn: Txn, ven_id: str, qualified: QualifiedEventID) -> None:
    """Only an event that the VEN was sent, and its present version."""
    event = events.get(txn, qualified.event_id)
    if event is None or sent_line(txn, ven_id, event.event_id, event.modification_number) is None:
        raise InvalidID(f"eventID {shown(qualified.event_id)} was never sent to this VEN")
    if qualified.modification_number != event.modification_number:
        raise OutOfSequence(f"eventID {event.event_id!r} is at modificationNumber {event.modification_number}")


def _limits(message: OadrCreateOpt) -> bool:
    """Whether an opt is for a part of the VEN only: resources, assets, device classes."""
    return any(
        value
        for target in (message.target.evolve(ven_ids=()), message.device_class)
        if target
        for values in attrs.astuple(target, recurse=False)
        for value in values
    )


def _periods(message: OadrCreateOpt) -> list[tuple[datetime, datetime | None]]:
    """Start and end of each period of a schedule; a duration of zero is open-ended."""
    periods = []
    for number, period in enumerate(message.available, 1):
        place = f"oadrCreateOpt/vavailability/components/available[{number}]/properties/duration"
        try:
            end = period.duration.after(period.dtstart)
        except OverflowError:
            raise InvalidData(f"{place}: reaches beyond the calendar") from None
        if end < period.dtstart:
            raise InvalidData(f"{place}: {period.duration} is negative")
        periods.append((period.dtstart, end if period.duration else None))
    return periods


def _check_size(txn: Txn, ven_id: str, now: datetime) -> None:
    """Bound what one VEN may have kept; where it is too much, what is cancelled or past is forgotten."""
    if opts.size(txn, ven_id) > MOST:
        opts.forget_past(txn, ven_id, now)
        if opts.size(txn, ven_id) > MOST:
            raise NotAllowed(f"oadrCreateOpt: {MOST} opts and periods are the most of one VEN")


def cancel(
    txn: Txn, config: Config, ven: Ven, message: OadrCancelOpt, now: datetime
) -> tuple[OadrCanceledOpt, Changes]:
    """End an opt; an event goes back to what the VEN last said in oadrCreatedEvent."""
    opt = opts.get(txn, ven.ven_id, message.opt_id)
    if opt is None or opt.cancelled_at is not None:
        raise InvalidID(f"optID {shown(message.opt_id)} is no opt of this VEN")
    opts.cancel(txn, ven.ven_id, message.opt_id, now)
    if opt.event_id:
        _apply(txn, ven.ven_id, opt.event_id)
    return OadrCanceledOpt(response=EiResponse.ok(message.request_id), opt_id=message.opt_id), NOTHING


def _apply(txn: Txn, ven_id: str, event_id: str) -> None:
    """Set what the ledger says of a VEN's opt."""
    event = events.get(txn, event_id)
    line = events.line(txn, ven_id, event_id, event.modification_number) if event else None
    if line is None:
        return
    answer = events.last_answer(txn, ven_id, event_id)
    events.change_line(txn, line, opt_type=opt_type(txn, ven_id, event_id, answer))


# --- what an operator sees ----------------------------------------------------------------------------


@attrs.frozen
class EventOpt:
    """What a VEN said of an event by oadrCreateOpt; for those resources or device classes only, where any are named."""

    ven_id: str
    opt_id: str
    opt_type: str
    opt_reason: str | None
    received_at: datetime
    resource_ids: tuple[str, ...]
    device_classes: tuple[str, ...]


@attrs.frozen
class Period:
    """A period of a schedule; ``end`` None is open-ended, ``market_context`` None all programs.

    Where resources or device classes are named, it is for those only.
    """

    start: datetime
    end: datetime | None
    opt_type: str
    opt_id: str
    opt_reason: str | None
    market_context: str | None
    resource_ids: tuple[str, ...]
    device_classes: tuple[str, ...]


@attrs.frozen
class Availability:
    """How many of the ``registered`` VENs said what of a time as a whole.

    ``available`` and ``unavailable`` said so for all of it, ``unstated`` nothing, ``partly`` anything else.
    """

    registered: int
    available: int
    unavailable: int
    partly: int
    unstated: int


def _parts(opt: Opt) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The resources and the device classes that an opt is limited to."""
    message = from_xml(OadrCreateOpt, opt.document)
    classes = message.device_class.end_device_assets if message.device_class else ()
    named = (message.target.resource_ids, (*message.target.end_device_assets, *classes))
    return tuple(filter(None, named[0])), tuple(filter(None, named[1]))


def of_event(txn: Txn, event_id: str) -> list[EventOpt]:
    """What VENs said of an event by oadrCreateOpt and what stands, by VEN, the newest last."""
    return [
        EventOpt(opt.ven_id, opt.opt_id, opt.opt_type, opt.opt_reason, opt.received_at, *_parts(opt))
        for opt in opts.of_event(txn, event_id)
    ]


def _check_time(since: datetime, until: datetime) -> None:
    if not since < until:
        raise InvalidData.at("until", "is not after since")


def timeline(txn: Txn, ven_id: str, since: datetime, until: datetime) -> list[Period]:
    """The periods of a VEN's schedules that touch a time, by their start.  Raises InvalidData for one that is none."""
    _check_time(since, until)
    parts = cache(_parts)
    return [
        Period(start, end, opt.opt_type, opt.opt_id, opt.opt_reason, opt.market_context, *parts(opt))
        for opt, start, end in opts.periods_of_ven(txn, ven_id, since, until)
    ]


def availability(
    txn: Txn, since: datetime, until: datetime, market_context: str | None = None, group_id: str | None = None
) -> Availability:
    """How many VENs are available from ``since`` to ``until``, by the schedules that they sent.

    Of two periods that overlap the one of the newer opt counts; what is limited to resources or device
    classes says nothing of the VEN.  With a market context: the VENs that take part in it, and what they
    said of it or of all programs; without one every schedule counts.  Raises InvalidData for a time that
    ends before it begins, InvalidID for an unknown group.
    """
    _check_time(since, until)
    vens = {ven_id for ven_id, registered in audience.participants(txn).items() if registered}
    if group_id is not None:
        if audience.group(txn, group_id) is None:
            raise InvalidID.at("group_id", f"{group_id!r} is no group")
        vens.intersection_update(audience.members(txn, group_id))
    if market_context is not None:
        vens -= audience.elsewhere(txn, market_context)
    stated = groupby(opts.spans(txn, since, until, market_context), key=lambda span: span.ven_id)
    counts = Counter(_MEANING.get(_said(spans, since, until), "partly") for ven_id, spans in stated if ven_id in vens)
    return Availability(
        registered=len(vens),
        available=counts["available"],
        unavailable=counts["unavailable"],
        partly=counts["partly"],
        unstated=len(vens) - counts.total(),
    )


_MEANING: dict[frozenset[str | None], str] = {
    frozenset({"optIn"}): "available",
    frozenset({"optOut"}): "unavailable",
}


def _said(spans: Iterable[Span], since: datetime, until: datetime) -> frozenset[str | None]:
    """All that a VEN said within a time, by spans in the order of their start; None is in it where it said nothing."""
    said: set[str | None] = set()
    over: list[tuple[int, datetime, str]] = []  # those that have begun, the newest first
    moment = since
    for span in spans:
        if span.starts_at > moment:
            moment = _walk(over, moment, span.starts_at, said)
        heappush(over, (-span.number, span.ends_at or until, span.opt_type))
    _walk(over, moment, until, said)
    return frozenset(said)


def _walk(over: list[tuple[int, datetime, str]], moment: datetime, until: datetime, said: set[str | None]) -> datetime:
    """Note what holds from a moment to another, by the periods that have begun; returns the latter."""
    while moment < until:
        while over and over[0][1] <= moment:
            heappop(over)
        said.add(over[0][2] if over else None)
        moment = min(over[0][1], until) if over else until
    return until
