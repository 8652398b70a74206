"""The live state of each VEN: who it is, what waits for it, what was sent lately.  The only cache of the house."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import attrs

from ..storage.vens import Ven
from .changes import Changes
from .outbox import Due


@attrs.define(eq=False)
class Entry:
    """One VEN.

    ``due`` is what waits for it, None where that must be looked up.  ``leases`` say until when (seconds
    of the clock) what was sent is not sent again.  The counts are what the database does not know yet.
    """

    ven: Ven
    due: tuple[Due, ...] | None = None
    revision: int = 0
    last_seen: datetime | None = None
    coming_online: bool = False
    warned_of_signature: bool = False
    leases: dict[int | str, float] = attrs.field(factory=dict)
    offers: Counter[int | str] = attrs.field(factory=Counter)
    shown: dict[tuple[str, int], list[int]] = attrs.field(factory=dict)
    bends: Counter[str] = attrs.field(factory=Counter)
    shorts: set[bytes] = attrs.field(factory=set)

    def flushed(self, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """Take the counts, as rows for the database."""
        ven_id = self.ven.ven_id
        rows = {
            "seen": [{"ven": ven_id, "at": self.last_seen}] if self.last_seen else [],
            "entries": [
                {"entry": key, "count": n, "at": now} for key, n in self.offers.items() if isinstance(key, int)
            ],
            "events": [
                {"ven": ven_id, "event": event_id, "modification": number, "count": count, "clean": clean, "at": now}
                for (event_id, number), (count, clean) in self.shown.items()
            ],
            "bends": [{"ven_id": ven_id, "bend": b, "count": n, "last_at": now} for b, n in self.bends.items()],
        }
        self.last_seen = None
        for counts in (self.offers, self.shown, self.bends):
            counts.clear()
        return rows


class Roster:
    """The entries, at most ``size``; the least recently used leaves once what it counted is on disk."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._by_short: dict[bytes, tuple[Entry, bytes]] = {}
        self.dirty: set[Entry] = set()
        self.revision = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, full: bytes, matches: Callable[[bytes, bytes], bool]) -> Entry | None:
        """The entry of a certificate by its whole fingerprint, if it is here."""
        known = self._by_short.get(full[-10:])
        if known is None or not matches(known[1], full):
            return None
        self._entries.move_to_end(known[0].ven.ven_id)
        return known[0]

    def get(self, ven_id: str) -> Entry | None:
        """The entry of a venID, if it is here."""
        return self._entries.get(ven_id)

    def put(self, ven: Ven, full: bytes, revision: int) -> Entry:
        """The entry of a VEN that was read from the database while the roster was at ``revision``."""
        entry = self._entries.get(ven.ven_id)
        if entry is None:
            entry = self._entries[ven.ven_id] = Entry(ven)
            self._shrink()
        elif revision == self.revision:
            if entry.ven.epoch != ven.epoch:
                entry.leases.clear()
            entry.ven = ven
        self._entries.move_to_end(ven.ven_id)
        if revision == self.revision:
            self._by_short[full[-10:]] = entry, full
            entry.shorts.add(full[-10:])
        return entry

    def publish(self, changes: Changes) -> None:
        """What is known of these VENs must be looked up again."""
        self.revision += 1
        for ven_id in self._entries if changes.everyone else changes.vens:
            if entry := self._entries.get(ven_id):
                entry.due = None
                entry.revision += 1
                if ven_id in changes.vens:
                    self._unmap(entry)

    def _unmap(self, entry: Entry) -> None:
        for short in entry.shorts:
            self._by_short.pop(short, None)
        entry.shorts.clear()

    def _shrink(self) -> None:
        for ven_id in list(self._entries)[: max(0, len(self._entries) - self._size)]:
            if self._entries[ven_id] not in self.dirty:
                self._unmap(self._entries.pop(ven_id))
