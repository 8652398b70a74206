"""A database of an earlier version is brought up to date with all that is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config
from sqlalchemy import create_engine
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.storage import events, readings, reports, vens
from oadrvtn.storage import migrations as module
from oadrvtn.storage.database import Database
from oadrvtn.storage.tables import instant

AT = 1_780_000_000_000_000

FIRST = (
    f"INSERT INTO vens (ven_id, name, source, created_at, registration_id, epoch, report_only, xml_signature,"
    f" poll_frequency, online) VALUES ('ven-1', 'Cold store', 'operator', {AT}, 'reg-1', 3, 0, 0, 10, 1)",
    f"INSERT INTO events VALUES ('e-1', 2, 0, 1, 'http://example.com/dr', {AT}, {AT + 5}, 'always', x'', 'operator',"
    f" {AT}, {AT})",
    f"INSERT INTO ledger (ven_id, event_id, modification_number, state, wants, withdrawn, queued_at, offers,"
    f" deliveries) VALUES ('ven-1', 'e-1', 2, 'offered', 'answer', 0, {AT}, 1, 0),"
    f" ('ven-1', 'e-1', 1, 'opted', 'nothing', 0, {AT}, 1, 0)",
    f"INSERT INTO report_requests VALUES ('r-1', 'ven-1', NULL, 'usage', NULL, 0, x'', 'accepted', {AT}, {AT},"
    f" NULL, NULL)",
)
"""What version 0001 may hold."""


READINGS = tuple(
    f"INSERT INTO readings (ven_id, report_request_id, r_id, start, value, received_at)"
    f" VALUES ('ven-1', 'r-1', 'power', {AT + n}, {n}, {AT})"
    for n in range(3)
)


class UpgradeCase(SynchronousTestCase):
    def upgrade(self, *steps: tuple[str, tuple[str, ...]]) -> None:
        """A database that had these versions, with what was written in each, is opened."""
        path = Path(self.mktemp())
        config = Config()
        config.set_main_option("script_location", str(Path(module.__file__).parent))
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            for version, statements in steps:
                alembic.command.upgrade(config, version)
                for statement in statements:
                    connection.exec_driver_sql(statement)
        engine.dispose()
        self.database = Database(path)
        self.database.start()
        self.addCleanup(self.database.stop)

    def read(self, query: Any, *arguments: Any) -> Any:
        return self.successResultOf(self.database.read("test", query, *arguments))


class CountTests(UpgradeCase):
    def test_readings_of_before_are_counted(self) -> None:
        self.upgrade(("0001", FIRST), ("0005", READINGS))
        self.assertEqual({"readings": 3, "readings_dropped": 0}, self.read(readings.counts))


class UpgradeTests(UpgradeCase):
    """From the first version."""

    def setUp(self) -> None:
        self.upgrade(("0001", FIRST))

    def test_vens_and_their_requests_are_there(self) -> None:
        ven = self.read(vens.get, "ven-1")
        self.assertEqual((ven.name, ven.epoch, ven.registered), ("Cold store", 3, True))
        (request,) = self.read(reports.requests_of, "ven-1")
        self.assertEqual((request.report_request_id, request.state), ("r-1", "accepted"))

    def test_what_is_open_stays_open(self) -> None:
        ((_, line),) = self.read(events.wanted, ["ven-1"], instant(AT))["ven-1"]
        self.assertNotEqual("nothing", line.wants)
        self.assertEqual((line.key, line.withdrawn, line.removed), (("e-1", 2), False, False))

    def test_what_is_shown_is_the_present_version(self) -> None:
        ((event, line),) = self.read(events.applicable, ["ven-1"], instant(AT))["ven-1"]
        self.assertEqual((event.event_id, line.key), ("e-1", ("e-1", 2)))
        self.assertEqual({}, self.read(events.applicable, ["ven-1"], instant(AT + 5)))

    def test_an_event_ends_when_it_was_to_be_gone(self) -> None:
        self.assertEqual(self.read(events.get, "e-1").ends_at, instant(AT + 5))
