"""Queries on VENs that no rule's test reaches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.storage import vens
from oadrvtn.storage.database import Database, Txn

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class LastSeen(SynchronousTestCase):
    def test_it_never_goes_back_in_time(self) -> None:
        """Two flushes that overtake one another leave the later moment."""
        database = Database(None)
        database.start()
        self.addCleanup(database.stop)

        def rule(txn: Txn) -> tuple[datetime | None, None]:
            vens.add(txn, "ven-1", "ven-1", "operator", 10, NOW)
            vens.flush_seen(txn, [{"ven": "ven-1", "at": NOW}, {"ven": "ven-1", "at": NOW - timedelta(seconds=5)}])
            ven = vens.get(txn, "ven-1")
            return (ven.last_seen if ven else None), None

        self.assertEqual(self.successResultOf(database.run("see", rule)), NOW)
