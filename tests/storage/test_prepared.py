"""A prepared query finds what SQLAlchemy finds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import String, bindparam, insert, or_, select
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.storage.audience import among, parameter
from oadrvtn.storage.database import Database, Txn
from oadrvtn.storage.prepared import Prepared
from oadrvtn.storage.tables import events, instant

NOW = instant(1_780_000_000_123_456)
ROW: dict[str, Any] = {
    "event_id": "e-1", "modification_number": 2, "cancelled": False, "for_everyone": True, "market_context": "\xe9",
    "dtstart": NOW, "ends_at": None, "gone_at": NOW + timedelta(hours=1), "deleted_at": None,
    "response_required": "always", "document": b"\0", "source": "operator", "created_at": NOW, "modified_at": NOW,
}  # fmt: skip
QUERY = select(*events.c).where(
    among(events.c.event_id, bindparam("ids", type_=String)),
    or_(events.c.gone_at.is_(None), events.c.gone_at > bindparam("now")),
    events.c.source != "nobody",
).order_by(events.c.event_id)  # fmt: skip


class PreparedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = Database(None)
        self.database.start()
        self.addCleanup(self.database.stop)

    def both(self, *ids: str, now: Any = NOW) -> list[list[Any]]:
        """What is found, either way."""

        def look(txn: Txn) -> tuple[list[list[Any]], None]:
            txn.execute(
                insert(events),
                [ROW, {**ROW, "event_id": "e-2", "gone_at": None}, {**ROW, "event_id": "e-3", "source": "nobody"}],
            )
            values = {"ids": parameter(ids), "now": now}
            found = Prepared(QUERY)(txn, **values)
            self.assertEqual([list(row) for row in txn.execute(QUERY, values)], found)
            return found, None

        return self.successResultOf(self.database.run("look", look))

    def test_of_every_type(self) -> None:
        first, second = self.both("e-1", "e-2", "e-3")
        self.assertEqual(list(ROW.values()), first)
        self.assertEqual(("e-2", None), (second[0], second[7]))

    def test_by_its_parameters(self) -> None:
        self.assertEqual(["e-2"], [row[0] for row in self.both("e-1", "e-2", now=NOW + timedelta(hours=1))])

    def test_nothing(self) -> None:
        self.assertEqual([], self.both())
