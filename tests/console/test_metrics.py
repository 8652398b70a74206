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

    def test_operators_that_were_refused_are_counted_by_why_and_each_of_them(self) -> None:
        self.assertNotIn(("oadrvtn_api_refused_total", "401"), self.samples())
        for _ in range(6):
            self.office.ask("GET", "/api/v1/vens", token="a-guess-at-a-token")
        self.office.ask("GET", "/api/v1/vens", token="a-guess-at-a-token")
        self.office.ask("POST", "/api/v1/events", {"level": 2})
        self.office.ask("GET", "/api/v1/vens")
        samples = self.samples()
        counted = {labels[0]: n for (name, *labels), n in samples.items() if name == "oadrvtn_api_refused_total"}
        self.assertEqual({"401": 6, "429": 1, "422": 1}, counted)

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

    def test_what_waits_is_counted_until_it_is_done(self) -> None:
        self.office.registered()
        queues = {queue: self.samples()["oadrvtn_queue_length", queue] for queue in ("outbox", "events", "writes")}
        self.assertEqual({"outbox": 1, "events": 0, "writes": 0}, queues)  # its reports are asked for
        body = {"event_id": "e", "market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2}
        self.assertEqual(201, self.office.ask("POST", "/api/v1/events", body).status)
        self.assertEqual(1, self.samples()["oadrvtn_queue_length", "events"])
        self.office.opts("ven-1", "e", "optIn")
        self.assertEqual(0, self.samples()["oadrvtn_queue_length", "events"])

    def test_times_come_as_histograms(self) -> None:
        self.office.vtn.lag.note(0.3)
        before = self.samples()
        self.assertEqual((0, 1), tuple(before["oadrvtn_loop_lag_seconds_bucket", le] for le in ("0.25", "0.5")))
        self.assertEqual((1, 0.3), tuple(before[f"oadrvtn_loop_lag_seconds_{name}",] for name in ("count", "sum")))
        self.office.registered()
        self.assertGreater(self.samples()["oadrvtn_commit_seconds_count",], before["oadrvtn_commit_seconds_count",])

    def test_two_vtns_in_one_process_share_nothing(self) -> None:
        other = Office()
        other.answers["oadrPoll", "200"] += 1
        self.assertNotIn(("oadrvtn_messages_total", "oadrPoll", "200"), self.samples())
