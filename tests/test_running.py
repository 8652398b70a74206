"""The files that run and watch a VTN: dashboard, alerts, systemd unit, image; each name in them is real."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from oadrvtn.console.metrics import Metrics
from oadrvtn.model.config import Config
from oadrvtn.storage.times import Times

from .test_docs import CHECKOUT, column, page, resolve

FILES = CHECKOUT / "docs" / "contrib"
DASHBOARD = json.loads((FILES / "grafana-dashboard.json").read_text("utf-8"))
ALERTS = (FILES / "prometheus-alerts.yml").read_text("utf-8")
UNIT = (FILES / "oadrvtn.service").read_text("utf-8")
IMAGE = (FILES / "Containerfile").read_text("utf-8")

_SCRAPED = {"job", "instance"}
"""The labels that Prometheus adds."""


def exposed() -> dict[str, set[str]]:
    """The names that /metrics has, with their labels."""
    counters: Any = {"messages": {("oadrPoll", "200"): 1}, "tls_refused": {"why": 1}, "bends": {"bare_root": 1}}
    counters |= {"readings_dropped": {(): 1}, "certificates_expiring": {"ven": 1}, "limited": {"connections": 1}}
    counters |= {"crls": {"good": 1}, "ocsp_answers": {"good": 1}, "api_refused": {"401": 1}}
    text = Metrics(version="0", vtn_id="v").text(defaultdict(float), defaultdict(int), defaultdict(Times), **counters)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def alert_queries() -> list[str]:
    return re.findall(r"^ +expr: (.+)$", ALERTS, re.MULTILINE)


def asked(query: str) -> Iterator[tuple[str, set[str]]]:
    """The names of a query, each with the labels that are asked of it."""
    for name, matchers in re.findall(r"\b((?:oadrvtn|process)_\w+)(?:\{([^}]*)\})?", query):
        yield name, set(re.findall(r"(\w+)[=!]", matchers))


def complaints(*command: str | Path) -> str:
    """What a program has to say about something that is wrong."""
    if not shutil.which(command[0]):
        raise SkipTest(f"{command[0]} is not installed here")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def hour(well: bool) -> dict[str, str]:
    """What is scraped of a VTN in an hour, minute by minute, in promtool's words; it is well, or not at all."""

    def histogram(name: str) -> dict[str, str]:
        growing = "0+10x60"
        return {
            f'{name}_bucket{{le="{le}"}}': growing if well or le != "0.5" else "0x60" for le in ("0.5", "1.0", "+Inf")
        }

    return {
        "up{}": "1x60" if well else "0x60",
        "oadrvtn_start_time_seconds{}": "7x60" if well else "0+10x60",
        "oadrvtn_vens_registered{}": "100x60",
        "oadrvtn_vens_online{}": "98x60" if well else "90x60",
        "oadrvtn_vens_waiting{}": "0x60" if well else "1x120",
        'oadrvtn_crls{state="stale"}': "0x120" if well else "1x120",
        'oadrvtn_ocsp_answers_total{status="failed"}': "0x60" if well else "0+2x60",
        'oadrvtn_certificates_expiring{of="vtn"}': "0x120" if well else "1x120",
        "oadrvtn_answers_overdue{}": "0x60" if well else "2x60",
        'oadrvtn_queue_length{queue="outbox"}': "20x60" if well else "400x60",
        'oadrvtn_queue_length{queue="writes"}': "5x60" if well else "400x60",
        'oadrvtn_messages_total{message="oadrPoll",response_code="200"}': "0+100x60",
        'oadrvtn_messages_total{message="oadrPoll",response_code="500"}': "0x60" if well else "0+50x60",
        'oadrvtn_tls_refused_total{reason="x"}': "0+1x60" if well else "0+60x60",
        'oadrvtn_limited_total{limit="overload"}': "0x60" if well else "0+60x60",
        'oadrvtn_limited_total{limit="connections"}': "0x60" if well else "0+60x60",
        "process_open_fds{}": "50x60" if well else "90x60",
        "process_max_fds{}": "100x60",
        **histogram("oadrvtn_commit_seconds"),
        **histogram("oadrvtn_loop_lag_seconds"),
    }


class QueryTests(SynchronousTestCase):
    def test_each_name_and_label_is_scraped(self) -> None:
        known = exposed()
        names = set()
        for query in (*dashboard_queries(), *alert_queries()):
            for name, labels in asked(query):
                self.assertIn(name, known, query)
                self.assertLessEqual(labels, known[name] | _SCRAPED, query)
                names.add(name)
            grouped = {label for found in re.findall(r"(?:by|on) \(([^)]*)\)", query) for label in found.split(", ")}
            self.assertLessEqual(grouped, _SCRAPED.union(*(known[name] for name, _ in asked(query))), query)
        self.assertGreater(len(names), 20)

    def test_promtool_can_read_all_queries(self) -> None:
        file = Path(self.mktemp())
        variables = {"$__rate_interval": "5m", "$instance": ".*"}
        queries = dashboard_queries()
        for name, value in variables.items():
            queries = [query.replace(name, value) for query in queries]
        rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
        file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        self.assertEqual("", complaints("promtool", "check", "rules", file))
        self.assertEqual("", complaints("promtool", "check", "rules", FILES / "prometheus-alerts.yml"))

    def test_a_vtn_that_is_well_raises_no_alert_and_one_that_is_not_raises_them_all(self) -> None:
        alerts = re.findall(r"- alert: (\w+)", ALERTS)
        firing = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts]
        tests = []
        for well in (True, False):
            series = [
                {"series": name.replace("{", '{job="oadrvtn",instance="a",').replace(",}", "}"), "values": values}
                for name, values in hour(well).items()
            ]
            expected = {"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": "1h"}
            told = [{**expected, "exp_samples": [] if well else firing}]
            tests.append({"interval": "1m", "input_series": series, "promql_expr_test": told})
        file = Path(self.mktemp()).absolute()
        rules = [str(FILES / "prometheus-alerts.yml")]
        file.write_text(json.dumps({"rule_files": rules, "evaluation_interval": "1m", "tests": tests}))
        self.assertEqual("", complaints("promtool", "test", "rules", file))

    def test_each_alert_is_told_with_what_to_do(self) -> None:
        alerts = re.findall(r"- alert: (\w+)", ALERTS)
        self.assertEqual(len(alert_queries()), len(alerts))
        told = page("operating").partition("What each alert means")[2].partition("\nBackup\n")[0]
        self.assertEqual(alerts, column(told, r"``(\w+)``$"))

    def test_whatever_was_refused_has_its_panel(self) -> None:
        shown = {name for query in dashboard_queries() for name, _ in asked(query)}
        counted = {name for name in exposed() if name.endswith("_total") and name.startswith("oadrvtn_")}
        self.assertEqual({"oadrvtn_readings_dropped_total"}, counted - shown)
        self.assertLessEqual({"oadrvtn_crls", "oadrvtn_certificates_expiring", "oadrvtn_vens_suspended"}, shown)

    def test_the_dashboard_has_one_place_for_each_panel(self) -> None:
        panels = DASHBOARD["panels"]
        self.assertEqual(len(panels), len({panel["id"] for panel in panels}))
        self.assertEqual(len(panels), len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}))
        variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
        self.assertEqual({"datasource", "instance"}, variables)


class UnitTests(SynchronousTestCase):
    def test_systemd_has_no_complaints(self) -> None:
        file = Path(self.mktemp()) / "oadrvtn.service"
        file.parent.mkdir()
        (file.parent / "oadrvtn.socket").write_text((FILES / "oadrvtn.socket").read_text("utf-8"))
        twistd = Path(sysconfig.get_path("scripts")) / "twistd"
        file.write_text(UNIT.replace("/opt/oadrvtn/.venv/bin/twistd", str(twistd)))
        self.assertIn(str(twistd), file.read_text())
        units = file.absolute(), file.absolute().with_suffix(".socket")
        self.assertEqual("", complaints("systemd-analyze", "verify", *units))

    def test_it_is_confined_as_far_as_systemd_can_tell(self) -> None:
        if not shutil.which("systemd-analyze"):
            raise SkipTest("systemd-analyze is not installed")
        file = Path(self.mktemp()) / "oadrvtn.service"
        file.parent.mkdir()
        file.write_text(UNIT)
        told = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", file.absolute()],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(0, told.returncode, told.stdout[-300:])

    def test_the_socket_gives_the_descriptor_the_name_that_the_vtn_knows(self) -> None:
        socket = (FILES / "oadrvtn.socket").read_text("utf-8")
        self.assertIn("\nFileDescriptorName=listen\n", socket)
        self.assertIn(f"\nListenStream={Config().listen.port}\n", socket)

    def test_what_it_starts_can_be_given_like_that(self) -> None:
        [command] = re.findall(r"^ExecStart=\S+/twistd (.+)$", UNIT, re.MULTILINE)
        twistd = ServerOptions()
        twistd.parseOptions(command.split())
        self.assertEqual("oadrvtn", twistd.subCommand)


class ImageTests(SynchronousTestCase):
    def test_what_it_runs_can_be_given_like_that(self) -> None:
        start = [*json.loads(self.told("ENTRYPOINT")), *json.loads(self.told("CMD"))]
        self.assertEqual("twistd", start.pop(0))
        twistd = ServerOptions()
        twistd.parseOptions(start)
        self.assertEqual(("oadrvtn", 1), (twistd.subCommand, twistd["nodaemon"]))
        check = json.loads(self.told("HEALTHCHECK CMD"))
        resolve(check[1:])
        self.assertEqual("oadrvtn", check[0])

    def test_what_it_copies_is_there_and_its_base_is_an_argument(self) -> None:
        copied = [name for line in re.findall(r"^COPY ([^-].*)", IMAGE, re.MULTILINE) for name in line.split()[:-1]]
        self.assertLessEqual({"setup.py", "oadrvtn", "twisted"}, set(copied))
        for name in copied:
            self.assertTrue((CHECKOUT / name).exists(), name)
        self.assertEqual({"${BASE}"}, {base.split()[0] for base in re.findall("^FROM (.+)", IMAGE, re.MULTILINE)})

    def told(self, instruction: str) -> str:
        [found] = re.findall(rf"^{instruction} (.+)$", IMAGE, re.MULTILINE)
        return found
