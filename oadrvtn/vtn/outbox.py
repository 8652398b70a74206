"""Delivery: what is queued for a VEN, what counts as evidence that it arrived, and what is due.

Events are no entries: they are due while the ledger wants an answer or a delivery, and then all that
apply are sent together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import wraps
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from ..model.errors import InvalidID, OutboxFull
from ..model.party import EiResponse, says_yes
from ..model.schema import Message
from ..model.values import shown
from ..storage import events, notes, outbox, vens
from ..storage.database import Txn
from ..storage.vens import Ven
from ..wire.codec import to_xml
from . import display
from .display import Seen

T = TypeVar("T")

MOST_OFFERS = 10
"""After so many an entry is given up."""
Sendings = Mapping[int | events.Telling, datetime]
"""When what was sent, and is not counted in the database yet, went out last: entries by their id, and tellings."""
NOT_SENT: Sendings = MappingProxyType({})

_AT_HAND = 20
"""Of a VEN with more events these are looked up when they are sent."""
VENS_AT_ONCE = 200
"""Of so many, one after the other, something is queued in one transaction: others write as well."""


@attrs.frozen
class Due:
    """Something that waits for a VEN.

    ``key`` is the entry's id, or "events".  ``offers`` and ``offered`` (when it last went out) are as the
    database knows them, ``references`` the report requests that it is about.  For events ``lines`` are those
    of the ledger that are still open, and ``seen`` all that the VEN is to be shown (None: that must be looked up).
    """

    key: int | str
    kind: str
    offers: int = 0
    offered: datetime | None = None
    references: frozenset[str] = frozenset()
    lines: tuple[events.Line, ...] = ()
    seen: tuple[Seen, ...] | None = None

    def lasting(self) -> Due:
        """What of it may be kept until something is published about the VEN."""
        if self.seen is None or (len(self.seen) <= _AT_HAND and all(one.lasting for one in self.seen)):
            return self
        return attrs.evolve(self, seen=None)


def put(
    txn: Txn,
    ven: Ven,
    kind: str,
    message: Message,
    now: datetime,
    *,
    request_id: str = "",
    reference: str | None = None,
    offers: int = 0,
) -> None:
    """Queue a message for a VEN.

    ``request_id`` is the one that its answer will carry, ``reference`` the ID that it is about (of this VTN's
    report requests several, between blanks), ``offers`` how often it went out already.
    """
    outbox.put(
        txn,
        ven_id=ven.ven_id,
        epoch=ven.epoch,
        kind=kind,
        request_id=request_id,
        reference=reference,
        document=to_xml(message),
        state="offered" if offers else "queued",
        offers=offers,
        queued_at=now,
        last_offered=now if offers else None,
    )


def with_room(most: int, rule: Callable[..., T]) -> Callable[..., T]:
    """The rule for an operator's wish, ``rule(txn, ven_id, ...)``, where fewer than ``most`` entries wait for the VEN.

    Else it raises OutboxFull: what a VEN does not take is not made better by more of it.
    """

    @wraps(rule)
    def checked(txn: Txn, ven_id: str, *arguments: Any) -> T:
        if (waiting := outbox.lengths(txn, [ven_id]).get(ven_id, 0)) >= most:
            raise OutboxFull(f"{waiting} messages wait for VEN {ven_id!r}, which is as many as may (limits.outbox)")
        return rule(txn, ven_id, *arguments)

    return checked


def next_vens(txn: Txn, note: str) -> list[Ven]:
    """The next of all registered VENs, behind the one that is noted, and so on until there are none.

    The note is "" at the beginning, and not there where nothing is to be done.
    """
    after = notes.get(txn, note)
    found = [] if after is None else vens.registered_after(txn, after, VENS_AT_ONCE)
    if after is not None:
        notes.put(txn, note, found[-1].ven_id if len(found) == VENS_AT_ONCE else None)
    return found


def due(txn: Txn, ven_ids: Sequence[str], now: datetime) -> dict[str, tuple[Due, ...]]:
    """What waits for VENs, in the order of first sending: register_report, then events, then by age."""
    entries = outbox.waiting(txn, ven_ids)
    wanted = events.wanted(txn, ven_ids, now)
    found = {}
    for ven_id in ven_ids:
        waiting = [
            Due(entry.id, entry.kind, entry.offers, entry.last_offered, entry.references)
            for entry in entries.get(ven_id, ())
        ]
        if shown := wanted.get(ven_id):
            lines = tuple(line for _, line in shown if line.wants != "nothing")
            position = sum(item.kind == "register_report" for item in waiting)
            seen = display.seen(txn, ven_id, shown)
            waiting.insert(position, Due("events", "events", lines=lines, seen=seen))
        found[ven_id] = tuple(waiting)
    return found


def settle(
    txn: Txn,
    ven: Ven,
    kind: str,
    response: EiResponse,
    now: datetime,
    references: Collection[str] = (),
    good: Collection[str] = (),
    sent: Sendings = NOT_SENT,
) -> list[outbox.Entry]:
    """Close the entries that a VEN's answer is about: done, or refused with its code; returns what was closed.

    They are found by requestID or by ``references``; where neither is known (VENs send it empty, as ``0``,
    or an earlier one) it is what was last sent of the kind, with all that went out at the same moment: the
    requests within one oadrRegisteredReport.  An answer to something closed has no effect.  A code counts as
    good that says yes or is among ``good``.  Raises InvalidID for an ID that was never issued to this VEN,
    where it was never told anything of the kind either.
    """
    asked = response.request_id
    waiting = [entry for entry in outbox.pending(txn, ven.ven_id) if entry.kind == kind]
    found = [
        entry
        for entry in waiting
        if (asked and entry.request_id == asked) or not entry.references.isdisjoint(references)
    ]
    if not found and not (asked and outbox.issued(txn, ven.ven_id, kind, asked)):
        times = {} if references else {entry.id: sent.get(entry.id) or entry.last_offered for entry in waiting}
        last = max(filter(None, times.values()), default=None)
        found = [entry for entry in waiting if last and times.get(entry.id) == last]
        if asked and not waiting and not outbox.ever(txn, ven.ven_id, kind):
            raise InvalidID(f"requestID {shown(asked)} was never issued to this VEN")
    done = says_yes(response.response_code) or response.response_code in good
    outbox.close(
        txn, [entry.id for entry in found], "done" if done else "refused", now,
        response.response_code, response.response_description,
    )  # fmt: skip
    return found
