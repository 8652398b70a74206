"""Reports of the VTN itself, with a source in the user's code, from a process that serves over mTLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from oadrvtn.model.party import EiResponse
from oadrvtn.model.report import (
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrReportRequest,
    OadrUpdatedReport,
    OadrUpdateReport,
    ReportSpecifier,
    SpecifierPayload,
)
from oadrvtn.model.values import Duration
from oadrvtn.security.certificates import load_certificates
from oadrvtn.security.tls import client_policy
from oadrvtn.ven.client import VenClient, connect

from .process import Programs, Vtn, programs_of_a_test

_SOURCE = """from twisted.internet.defer import succeed

async def load(ven_id, r_ids, since, until):
    return await succeed({"load": len(ven_id)})
"""
_OFFER = """
[[offers]]
report_specifier_id = "grid"
source = "grid_of_a_test:load"
[[offers.data_points]]
r_id = "load"
"""


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest.fixture
def vtn(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Vtn:
    (tmp_path / "grid_of_a_test.py").write_text(_SOURCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Vtn.make(tmp_path, programs)


async def polled(ven: VenClient, expected: type, seconds: float = 30) -> Any:
    """The first message of this kind that a poll gets."""
    deadline = reactor.seconds() + seconds
    while not isinstance(message := await ven.poll(), expected):
        assert reactor.seconds() < deadline, f"no {expected.__name__} in {seconds} s"
        await deferLater(reactor, 0.2)
    return message


@pytest_twisted.ensureDeferred
async def test_a_ven_is_told_of_the_offers_asks_for_one_and_hears_when_they_change(vtn: Vtn) -> None:
    credential = vtn.issue("ven-1")
    nothing = vtn.config.read_text()
    vtn.config.write_text(nothing + _OFFER)
    await vtn.start()
    assert vtn.process
    policy = client_policy(credential, load_certificates(vtn.certs / "ca.crt"))
    ven = connect(reactor, f"https://localhost:{vtn.port}", policy, "ven-1", "ven-1")
    try:
        await ven.register()
        offered = await polled(ven, OadrRegisterReport)
        assert [report.report_specifier_id for report in offered.reports] == ["grid"]
        await ven.send(OadrRegisteredReport(response=EiResponse.ok(offered.request_id), ven_id="ven-1"))

        specifier = ReportSpecifier(
            report_specifier_id="grid",
            granularity=Duration("PT0S"),
            report_back_duration=Duration("PT0S"),
            specifier_payloads=(SpecifierPayload(r_id="load", reading_type="x-notApplicable"),),
        )
        created = await ven.create_report(OadrReportRequest(report_request_id="mine", report_specifier=specifier))
        assert (created.response.response_code, created.pending_reports) == ("200", ("mine",))
        update = await polled(ven, OadrUpdateReport)
        [report] = update.reports
        assert (report.report_request_id, report.intervals[0].payloads[0].payload.value) == ("mine", 5.0)
        taken = await ven.send(OadrUpdatedReport(response=EiResponse.ok(update.request_id), ven_id="ven-1"))
        assert taken.response.response_code == "200"
        assert vtn.rows("SELECT state FROM provided") == [("complete",)]

        vtn.config.write_text(nothing)
        vtn.process.send(SIGHUP)
        assert (await polled(ven, OadrRegisterReport)).reports == ()
    finally:
        await ven.close()
