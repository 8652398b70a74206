"""A database that cannot write: nothing is acknowledged, nothing is half there, and it recovers by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.logger import LogEvent, formatEvent

from oadrvtn.model.report import OadrRegisterReport, OadrReport, OadrReportDescription
from oadrvtn.storage.database import Txn
from oadrvtn.vtn.changes import NOTHING
from tests.handlers.house import poll
from tests.integration.house import House, house

__all__ = ["house"]


def offer(points: int) -> OadrRegisterReport:
    """METADATA; with some thousand data points it needs more pages than the file may have."""
    report = OadrReport(
        descriptions=tuple(
            OadrReportDescription(r_id=f"power-{number:050}", report_type="usage", reading_type="Direct Read")
            for number in range(points)
        ),
        report_request_id="0",
        report_specifier_id="usage",
        report_name="METADATA_TELEMETRY_USAGE",
        created_date_time=datetime(2026, 7, 1, tzinfo=UTC),
    )
    return OadrRegisterReport(request_id="offer", reports=(report,))


async def pragma(house: House, statement: str) -> Any:
    """What the writer's connection says to this."""

    def say(txn: Txn) -> tuple[Any, Any]:
        return txn.exec_driver_sql(f"PRAGMA {statement}").scalar(), NOTHING

    return await house.service.database.run("pragma", say)


async def only_read(house: House, only: bool) -> None:
    """Whether the writer's connection may write; what is written here is not: a transaction cannot begin then."""
    engine = house.service.database._engine
    with closing(engine.raw_connection()) as connection:
        connection.cursor().execute(f"PRAGMA query_only={int(only)}")


async def offers_on_disk(house: House) -> int:
    def count(txn: Txn) -> Any:
        return txn.exec_driver_sql("SELECT count(*) FROM capabilities").scalar()

    found: int = await house.service.database.read("count", count)
    return found


@pytest_twisted.ensureDeferred
async def test_what_does_not_fit_on_the_disk_is_not_acknowledged(house: House, critical_events: list[LogEvent]) -> None:
    most = await pragma(house, "max_page_count")
    await pragma(house, f"max_page_count={await pragma(house, 'page_count') + 2}")
    large, idle = await gatherResults([house.post("EiReport", offer(3000)), house.post("OadrPoll", poll())])
    assert (large.code, large.message.name()) == ("500", "oadrRegisteredReport")
    assert large.message.response.response_description.startswith("internal error, incident ")
    assert idle.message.ven_id == "bad"  # who only polls is served
    assert await offers_on_disk(house) == 0
    incident = critical_events.pop()
    assert "incident" in formatEvent(incident)
    assert "full" in str(incident["log_failure"].value)
    await pragma(house, f"max_page_count={most}")
    assert (await house.post("EiReport", offer(3000))).code == "200"
    assert await offers_on_disk(house) == 1


@pytest_twisted.ensureDeferred
async def test_what_a_locked_database_cannot_take_is_not_acknowledged(
    house: House, critical_events: list[LogEvent]
) -> None:
    patience = await pragma(house, "busy_timeout")
    await pragma(house, "busy_timeout=20")
    with closing(sqlite3.connect(house.directory / "state" / "vtn.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = await house.post("EiReport", offer(1))
        assert (refused.code, refused.message.name()) == ("500", "oadrRegisteredReport")
        assert (await house.post("OadrPoll", poll())).status == 200
        other.execute("ROLLBACK")
    incident = critical_events.pop()
    assert "locked" in str(incident["log_failure"].value)
    assert await offers_on_disk(house) == 0
    await pragma(house, f"busy_timeout={patience}")
    assert (await house.post("EiReport", offer(1))).code == "200"
    assert await offers_on_disk(house) == 1


@pytest_twisted.ensureDeferred
async def test_a_database_that_may_only_be_read_acknowledges_nothing(
    house: House, critical_events: list[LogEvent]
) -> None:
    await only_read(house, True)
    assert (await house.post("EiReport", offer(1))).code == "500"
    assert (await house.post("OadrPoll", poll())).status == 200
    assert "readonly" in str(critical_events.pop()["log_failure"].value)
    assert await offers_on_disk(house) == 0
    await only_read(house, False)
    assert (await house.post("EiReport", offer(1))).code == "200"
    assert await offers_on_disk(house) == 1
