"""Rules of EiOpt: schedules of availability, and what a VEN says of one event outside oadrCreatedEvent (8.5)."""

from __future__ import annotations

from datetime import datetime

from ..model.config import Config
from ..model.errors import InvalidData, InvalidID, OutOfSequence, TargetMismatch
from ..model.opt import OadrCanceledOpt, OadrCancelOpt, OadrCreatedOpt, OadrCreateOpt
from ..model.party import EiResponse
from ..model.values import shown
from ..storage import events, opts
from ..storage.database import Txn
from ..storage.opts import Opt
from ..storage.vens import Ven
from ..wire.codec import to_xml
from .changes import NOTHING, Changes
from .events import opt_type


def create(txn: Txn, config: Config, ven: Ven, message: OadrCreateOpt, now: datetime) -> tuple[OadrCreatedOpt, Changes]:
    """Keep an opt; one of an optID that is known revises it.

    Exactly one of qualifiedEventID and vavailability is given, else 454.  An opt on a whole event becomes
    the VEN's opt, over what oadrCreatedEvent says (rule 206); one for resources or device classes does not.
    """
    qualified = message.qualified_event_id
    if (qualified is None) == (not message.available):
        raise InvalidData("oadrCreateOpt: holds exactly one of qualifiedEventID and vavailability")
    strangers = [ven_id for ven_id in message.target.ven_ids if ven_id not in ("", ven.ven_id)]
    if strangers:
        raise TargetMismatch(f"oadrCreateOpt/eiTarget/venID: {shown(strangers[0])} is not this VEN")
    limited = message.target.resource_ids or (message.device_class and message.device_class.end_device_assets)
    opt = Opt(
        ven_id=ven.ven_id,
        opt_id=message.opt_id,
        event_id=qualified.event_id if qualified else None,
        opt_type=message.opt_type,
        whole_ven=not limited,
        document=to_xml(message),
        received_at=now,
    )
    if qualified:
        event = events.get(txn, qualified.event_id)
        line = event and events.line(txn, ven.ven_id, event.event_id, event.modification_number)
        if event is None or line is None:
            raise InvalidID(f"eventID {shown(qualified.event_id)} was never sent to this VEN")
        if qualified.modification_number != event.modification_number:
            raise OutOfSequence(f"eventID {event.event_id!r} is at modificationNumber {event.modification_number}")
    before = opts.get(txn, ven.ven_id, message.opt_id)
    opts.put(txn, opt)
    for event_id in {before and before.event_id, opt.event_id} - {None}:
        _apply(txn, ven.ven_id, str(event_id))
    return OadrCreatedOpt(response=EiResponse.ok(message.request_id), opt_id=message.opt_id), NOTHING


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
