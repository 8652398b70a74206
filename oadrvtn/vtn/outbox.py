"""Delivery: what is queued for a VEN, what counts as evidence that it arrived, and what is due.

Events are no entries: they are due while the ledger wants an answer or a delivery, and then all that
apply are sent together.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import attrs

from ..model.errors import InvalidID
from ..model.party import EiResponse
from ..model.schema import Message
from ..storage import events, outbox
from ..storage.database import Txn
from ..storage.vens import Ven
from ..wire.codec import to_xml

MOST_OFFERS = 10
"""After so many an entry is given up."""

DELIVERIES = 2
"""So many clean sendings, a lease apart, are enough where no answer is due."""


@attrs.frozen
class Due:
    """Something that waits for a VEN.

    ``key`` is the entry's id, or for events the moment the newest of them was queued: what is new is not
    held back by the lease of what was sent before.  ``offers`` and ``deliveries`` are as the database
    counts them; ``deliveries`` None: an answer is due.
    """

    key: int | str
    kind: str
    offers: int = 0
    deliveries: int | None = None


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

    ``request_id`` is the one that its answer will carry, ``reference`` the ID that it is about, ``offers``
    how often it went out already.
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
    )


def due(txn: Txn, ven_id: str, now: datetime) -> tuple[Due, ...]:
    """What waits for a VEN, in the order of first sending: register_report, then events, then by age."""
    waiting = [Due(entry.id, entry.kind, entry.offers) for entry in outbox.pending(txn, ven_id)]
    wanted = events.wanted(txn, ven_id, now)
    if wanted:
        newest = max(queued_at for _, _, queued_at in wanted)
        answer = any(wants == "answer" for wants, _, _ in wanted)
        deliveries = None if answer else min(deliveries for _, deliveries, _ in wanted)
        position = sum(item.kind == "register_report" for item in waiting)
        waiting.insert(position, Due(f"events {newest}", "events", deliveries=deliveries))
    return tuple(waiting)


def settle(
    txn: Txn, ven: Ven, kind: str, response: EiResponse, now: datetime, references: Iterable[str] = ()
) -> list[outbox.Entry]:
    """Close the entries that a VEN's answer is about: done, or refused with its code; returns what was closed.

    They are found by requestID or by reference; where neither is known, it is the only open entry of the
    kind.  An answer to something closed has no effect.  Raises InvalidID for an ID that was never issued
    to this VEN, where nothing of the kind is open either.
    """
    issued = outbox.issued(txn, ven.ven_id, kind, response.request_id) if response.request_id else []
    found = {entry.id: entry for entry in issued if entry.state in outbox.OPEN}
    found.update((entry.id, entry) for entry in outbox.referring(txn, ven.ven_id, kind, references))
    if not found and not issued:
        waiting = [entry for entry in outbox.pending(txn, ven.ven_id) if entry.kind == kind]
        if len(waiting) == 1:
            found = {waiting[0].id: waiting[0]}
        elif response.request_id and not waiting:
            earlier = any(entry.kind == kind for entry in outbox.history(txn, ven.ven_id, 50))
            if not earlier:
                raise InvalidID(f"requestID {response.request_id!r} was never issued to this VEN")
    good = response.response_code.startswith("2")
    closing = list(found.values())
    outbox.close(
        txn,
        found,
        "done" if good else "refused",
        now,
        response.response_code,
        response.response_description,
    )
    return closing
