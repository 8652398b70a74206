"""What Prometheus scrapes: the format, the numbers, and that VTNs share nothing."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from .office import START, Office, certificate


class MetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.office = Office()

    def samples(self) -> dict[tuple[str, ...], float]:
        """What is scraped, without a token: value by name and label values."""
        answer = self.office.ask("GET", "/metrics", token=None)
        self.assertEqual(200, answer.status)
        self.assertTrue((answer.header("Content-Type") or "").startswith("text/plain"))
        families = text_string_to_metric_families(answer.body.decode())
        return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}

    def test_the_gauges_are_what_the_database_and_the_roster_hold(self) -> None:
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        samples = self.samples()
        for name, value in (("vens", 2), ("vens_registered", 2), ("vens_online", 2), ("vens_live", 2), ("events", 0)):
            self.assertEqual(value, samples[f"oadrvtn_{name}",])
        self.assertEqual(START.timestamp(), samples["oadrvtn_start_time_seconds",])

    def test_the_counters_are_what_was_counted_by_now(self) -> None:
        self.office.answers["oadrPoll", "200"] += 3
        self.office.answers["oadrPoll", "463"] += 1
        self.office.refused['no "certificate"\n'] += 2
        self.assertEqual(3, self.samples()["oadrvtn_messages_total", "oadrPoll", "200"])
        self.office.answers["oadrPoll", "200"] += 1
        samples = self.samples()
        self.assertEqual(4, samples["oadrvtn_messages_total", "oadrPoll", "200"])
        self.assertEqual(1, samples["oadrvtn_messages_total", "oadrPoll", "463"])
        self.assertEqual(2, samples["oadrvtn_tls_refused_total", 'no "certificate"\n'])

    def test_bends_count_whether_they_are_on_disk_or_not(self) -> None:
        self.office.registered()
        entry = self.successResultOf(self.office.vtn.identify(certificate("ven-1")))
        assert entry is not None
        entry.bends["bare_root"] += 2
        self.office.vtn.seen(entry)
        self.assertEqual(2, self.samples()["oadrvtn_bends_total", "bare_root"])
        self.office.flush()
        self.assertEqual({}, entry.bends)
        self.assertEqual(2, self.samples()["oadrvtn_bends_total", "bare_root"])
        entry.bends["bare_root"] += 1
        self.office.vtn.seen(entry)
        self.assertEqual(3, self.samples()["oadrvtn_bends_total", "bare_root"])

    def test_two_vtns_in_one_process_share_nothing(self) -> None:
        other = Office()
        other.answers["oadrPoll", "200"] += 1
        self.assertNotIn(("oadrvtn_messages_total", "oadrPoll", "200"), self.samples())
