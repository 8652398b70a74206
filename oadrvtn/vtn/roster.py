"""The live state of each VEN: who it is, what waits for it, what was sent lately.  The only cache of the house."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from weakref import WeakSet

import attrs
from twisted.internet.defer import Deferred

from ..model.config import Config
from ..model.schema import Message
from ..security import fingerprint
from ..storage.events import DELIVERIES, Telling
from ..storage.vens import Ven
from .changes import Changes
from .outbox import Due
from .rates import Bucket, Rate

_AHEAD = 100
"""What waits for so many more VENs is looked up with what waits for one: an event may be news for all of them."""


@attrs.define
class Sent:
    """What was sent and is not on disk yet: how often, how often as a clean delivery, when last."""

    at: datetime
    count: int = 0
    clean: int = 0


@attrs.frozen
class Lease:
    """Until when (seconds of the clock) something is not sent again.

    Of events it ``covers`` what was sent: what is new is not held back.
    """

    until: float
    covers: frozenset[Telling] = frozenset()


@attrs.frozen
class Idle:
    """The answer to a poll that found nothing: so the next one is answered, too, at this revision of the entry."""

    answer: bytes
    reply: Message
    revision: int


@attrs.define(eq=False)
class Poll:
    """A VEN's last poll that was neither signed nor bent, and what was read: a VEN's polls are the same bytes.

    It holds for this record of the VEN and this configuration.
    """

    body: bytes
    message: Message
    ven: Ven
    config: Config
    idle: Idle | None = None


@attrs.define(eq=False)
class Look:
    """A look for what waits for a VEN that is under way, at this revision of its entry, and who waits for that."""

    revision: int
    waiting: list[Deferred[tuple[Due, ...]]] = attrs.field(factory=list)


@attrs.define(eq=False)
class Entry:
    """One VEN, in one epoch of its registration.

    ``due`` is what waits for it, None where that must be looked up.  ``leases`` are by the key of a Due.
    The counts are what the database does not know yet: ``sent`` of outbox entries by their id and of events
    by their telling, ``bends`` by name.  ``asked_until`` (seconds of the clock): so long no
    user's handler is asked for a report.  ``enveloped``: in this form it signed last.  ``poll`` is its last one,
    ``idle_polls`` how many found nothing, ``look`` what is looked up right now.  ``messages`` and ``answers`` are
    how many of them it may send.  ``met``: certificates that it has shown, by their SHA-256; ``certificates``: what
    those say that is not on disk yet.
    """

    ven: Ven
    messages: Bucket
    answers: Bucket
    due: tuple[Due, ...] | None = None
    revision: int = 0
    last_seen: datetime | None = None
    coming_online: bool = False
    asked_until: float = 0.0
    enveloped: bool = False
    poll: Poll | None = None
    idle_polls: int = 0
    look: Look | None = None
    leases: dict[int | str, Lease] = attrs.field(factory=dict)
    sent: dict[int | Telling, Sent] = attrs.field(factory=dict)
    bends: Counter[str] = attrs.field(factory=Counter)
    shorts: set[bytes] = attrs.field(factory=set)
    met: tuple[bytes, ...] = ()
    certificates: tuple[dict[str, Any], ...] = ()

    def count(self, key: int | Telling, now: datetime) -> None:
        """Something goes out."""
        sent = self.sent.setdefault(key, Sent(now))
        sent.count += 1
        sent.at = now

    def offers(self, item: Due) -> int:
        """How often an entry of the outbox went out."""
        return item.offers + (self.sent[item.key].count if item.key in self.sent else 0)

    def delivered(self, item: Due) -> bool:
        """Whether these are events that need no answer and arrived often enough."""
        return bool(item.lines) and all(
            line.wants == "delivery"
            and line.deliveries + (self.sent[line.telling].clean if line.telling in self.sent else 0) >= DELIVERIES
            for line in item.lines
        )

    def polled(self, body: bytes, config: Config) -> Poll | None:
        """What is known of this poll; None where it is another one, or may mean something else by now."""
        poll = self.poll
        known = poll and poll.body == body and poll.ven is self.ven and poll.config is config
        return poll if known else None

    def idles(self, poll: Poll) -> Idle | None:
        """What is known of the answer to a known poll; None where something may wait for the VEN."""
        idle = poll.idle
        return idle if idle and self.due == () and idle.revision == self.revision else None

    def forget_due(self) -> None:
        """What waits for the VEN must be looked up again, also by who is doing so right now."""
        self.due = None
        self.revision += 1

    def flushed(self, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """Take the counts, as rows for the database."""
        ven_id = self.ven.ven_id
        rows: dict[str, list[dict[str, Any]]] = {"seen": [], "entries": [], "events": [], "bends": []}
        if self.last_seen:
            rows["seen"].append({"ven": ven_id, "at": self.last_seen})
        for key, sent in self.sent.items():
            if isinstance(key, int):
                rows["entries"].append({"entry": key, "count": sent.count, "at": sent.at})
            else:
                event = dict(zip(("event", "modification", "queued"), key, strict=True))
                row = {"ven": ven_id, "epoch": self.ven.epoch, "count": sent.count, "clean": sent.clean, "at": sent.at}
                rows["events"].append(event | row)
        rows["bends"] = [{"ven": ven_id, "name": name, "n": n, "at": now} for name, n in self.bends.items()]
        rows["certificates"] = list(self.certificates)
        self.last_seen, self.certificates = None, ()
        self.sent.clear()
        self.bends.clear()
        return rows


@attrs.define(eq=False)
class Reading:
    """A look into the database that is under way, and the venIDs whose records changed meanwhile."""

    changed: set[str] = attrs.field(factory=set)


class Roster:
    """The entries, at most ``size``; the least recently used leaves once what it counted is on disk.

    ``rate`` is at most that of each VEN's messages, and again that of its answers to the VTN.
    """

    def __init__(self, size: int, rate: Rate) -> None:
        self._size = size
        self._rate = rate
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._by_short: dict[bytes, tuple[Entry, bytes]] = {}
        self._readings: WeakSet[Reading] = WeakSet()
        self.dirty: set[Entry] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, full: bytes) -> Entry | None:
        """The entry of a certificate by its whole fingerprint, if it is here."""
        known = self._by_short.get(fingerprint.short(full))
        if known is None or not fingerprint.matches(known[1], full):
            return None
        self._entries.move_to_end(known[0].ven.ven_id)
        return known[0]

    def get(self, ven_id: str) -> Entry | None:
        """The entry of a venID, if it is here."""
        return self._entries.get(ven_id)

    def ahead(self) -> list[Entry]:
        """VENs whose polls come next, as they were heard longest ago, and of which must be looked up what waits."""
        return [entry for entry in islice(self, 2 * _AHEAD) if entry.due is None and entry.look is None][:_AHEAD]

    def reading(self) -> Reading:
        """To be asked for before a VEN is read, and given to ``put`` after."""
        reading = Reading()
        self._readings.add(reading)
        return reading

    def put(self, ven: Ven, full: bytes, reading: Reading, now: float) -> Entry | None:
        """The entry of a VEN that was read; None where it has changed meanwhile and must be read again.

        A new epoch is a new entry: leases and what is due do not outlive a registration.  What the VEN has sent does.
        ``now`` are seconds of the clock.
        """
        if ven.ven_id in reading.changed:
            return None
        entry = self._entries.get(ven.ven_id)
        if entry is None or (entry.ven.created_at, entry.ven.epoch) != (ven.created_at, ven.epoch):
            if entry is not None:
                self._unmap(entry)
                buckets = entry.messages, entry.answers
            else:
                buckets = self._rate.bucket(now), self._rate.bucket(now)
            entry = self._entries[ven.ven_id] = Entry(ven, *buckets)
        entry.ven = ven
        short = fingerprint.short(full)
        self._by_short[short] = entry, full
        entry.shorts.add(short)
        self._entries.move_to_end(ven.ven_id)
        self.shrink(2)
        return entry

    def publish(self, changes: Changes) -> None:
        """What is known of these VENs must be looked up again."""
        for reading in self._readings:
            reading.changed |= changes.vens
        for ven_id in self._entries if changes.everyone else changes.vens:
            if entry := self._entries.get(ven_id):
                entry.forget_due()
                if ven_id in changes.vens:
                    self._unmap(entry)

    def shrink(self, most: int) -> None:
        """Let up to ``most`` of the least recently used go if there are too many; those with counts to write stay."""
        excess = len(self._entries) - self._size
        for ven_id in list(islice(self._entries, max(0, min(excess, most)))):
            if self._entries[ven_id] not in self.dirty:
                self._unmap(self._entries.pop(ven_id))

    def _unmap(self, entry: Entry) -> None:
        for short in entry.shorts:
            self._by_short.pop(short, None)
        entry.shorts.clear()
