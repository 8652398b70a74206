"""A fleet at the command line: whom it may be sent to, what it is told to do, what is shown of it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from oadrvtn.security import certificates, fingerprint
from oadrvtn.security.certificates import Credential
from oadrvtn.ven.figures import Figures
from oadrvtn.ven.swarm import Beat, Job, SwarmError

from .case import CliTestCase

fleet = import_module("oadrvtn.cli.fleet")  # the package has the command under this name


class FakeSwarm:
    """Tells of a poll that was answered and one that was not, each time it is asked; then what ``then`` raises."""

    jobs: list[tuple[Job, int]]
    then: BaseException | None

    def __init__(self, job: Job, processes: int) -> None:
        self.jobs.append((job, processes))
        self.parts = list(job.parts(processes))

    def beat(self) -> Beat:
        figures = Figures()
        figures.note("oadrPoll", 0.02)
        figures.note("oadrPoll", 1.0, "HTTP 503")
        return Beat(0, figures, heard=1, registered=2)

    def beats(self, seconds: float) -> Iterator[Beat]:
        yield self.beat()
        if self.then:
            raise self.then

    def stop(self) -> list[Beat]:
        return [self.beat()]


class FleetTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())
        certificates.init(self.directory / "certs")
        self.swarm: Any = type("Swarm", (FakeSwarm,), {"jobs": [], "then": KeyboardInterrupt()})
        patcher = patch.object(fleet, "Swarm", self.swarm)
        patcher.start()
        self.addCleanup(patcher.stop)

    def fleet(self, *more: str, url: str = "https://localhost:8443", vens: int = 2) -> list[str]:
        return ["fleet", f"--vens={vens}", f"--url={url}", f"--certs={self.directory / 'certs'}", *more]

    def job(self, *more: str, **named: Any) -> tuple[Job, int]:
        """What the processes are told."""
        self.good(*self.fleet(*more, **named))
        return self.swarm.jobs[-1]

    # --- whom ---------------------------------------------------------------------------------------

    def test_another_machine_is_left_alone_without_consent(self) -> None:
        for url in (
            "https://vtn.example.org",
            "https://192.0.2.1:8443",
            "https://localhost@vtn.example.org",
            "https://[2001:db8::1]",
        ):
            self.has(self.refused(*self.fleet(url=url), code=2), "is not this machine", "--yes-this-server-is-mine")
        self.assertEqual([], self.swarm.jobs)
        self.assertEqual([], list((self.directory / "certs").glob("fleet-*")))
        job, _ = self.job("--yes-this-server-is-mine", url="https://vtn.example.org")
        self.assertEqual(("https://vtn.example.org", False), (job.url, job.apart))

    def test_this_machine_needs_none(self) -> None:
        for url in ("https://localhost:8443", "https://127.0.0.9:1", "https://[::1]:8443/prefix"):
            job, _ = self.job(url=url)
            self.assertEqual((url, sys.platform == "linux"), (job.url, job.apart))

    def test_only_mutual_tls_will_do(self) -> None:
        for url in ("http://localhost:8443", "localhost:8443", "https://", "https://localhost:port"):
            self.refused(*self.fleet(url=url), code=2)

    def test_the_address_is_that_of_the_configuration(self) -> None:
        config = self.directory / "vtn.toml"
        base = '[tls]\ncertificates = [{ certificate = "a", key = "b" }]\nca = ["c"]\n'
        for listen, url in (
            ('port = 9443\npath_prefix = "/p"', "https://localhost:9443/p"),
            ('host = "::1"', "https://localhost:8443"),
            ('host = "127.0.0.1"', "https://localhost:8443"),
        ):
            config.write_text(f"{base}[listen]\n{listen}\n")
            self.good("-c", str(config), "fleet", "--vens=1", f"--certs={self.directory / 'certs'}")
            self.assertEqual(url, self.swarm.jobs[-1][0].url)
        config.write_text(f'{base}[listen]\nhost = "192.0.2.7"\n')
        told = self.refused("-c", str(config), "fleet", "--vens=1", f"--certs={self.directory / 'certs'}", code=2)
        self.has(told, "192.0.2.7 is not this machine")

    # --- what it does -------------------------------------------------------------------------------

    def test_every_option_reaches_the_vens(self) -> None:
        job, processes = self.job()
        self.assertEqual((1, None, None, 0.0, 0.1, 5.0, False), (
            processes, job.poll, job.report_period, job.opts_per_hour, job.opt_out, job.gap, job.fresh,
        ))  # fmt: skip
        self.assertEqual(["fleet-1", "fleet-2"], job.names)
        certs = self.directory / "certs"
        self.assertEqual((str(certs), str(certs / "ca.crt")), (job.directory, job.ca))
        job, processes = self.job(
            "--poll=30s", "--report-period=5m", "--opt-rate=1.5", "--opt-out=0.5", "--ramp-up=1m", "--fresh",
            "--processes=2", "--name=x", "--ca=other.crt", vens=4,
        )  # fmt: skip
        self.assertEqual((2, 30.0, 300.0, 1.5, 0.5, 15.0, True), (
            processes, job.poll, job.report_period, job.opts_per_hour, job.opt_out, job.gap, job.fresh,
        ))  # fmt: skip
        self.assertEqual(("x-4", "other.crt"), (job.names[-1], job.ca))

    def test_it_lasts_as_long_as_it_is_told(self) -> None:
        self.swarm.then = None
        result = self.shown(*self.fleet("--duration=0.05"))
        self.assertGreater(result["messages"], 1)

    def test_a_duration_is_one(self) -> None:
        self.has(self.refused(*self.fleet("--poll=often"), code=2), "'often' is not a duration")

    def test_a_process_that_ends_is_the_end(self) -> None:
        self.swarm.then = SwarmError("a process of the fleet has ended: out of memory")
        self.has(self.refused(*self.fleet()), "out of memory")

    # --- certificates -------------------------------------------------------------------------------

    def test_it_prepares_certificates_and_what_an_import_takes(self) -> None:
        file = self.directory / "fleet.csv"
        self.has(self.good(*self.fleet(f"--prepare={file}")), f"oadrvtn ven import {file}")
        self.assertEqual([], self.swarm.jobs)
        certs = self.directory / "certs"
        loaded = [Credential.load(certs / f"fleet-{n}.crt", certs / f"fleet-{n}.key") for n in (1, 2)]
        rows = list(csv.DictReader(file.read_text().splitlines()))
        self.assertEqual([fingerprint.show(one.fingerprint) for one in loaded], [row["fingerprints"] for row in rows])
        self.good("ven", "import", str(file))
        self.assertEqual(["fleet-1", "fleet-2"], [ven["ven_id"] for ven in self.shown("ven", "list", "fleet")["vens"]])

    def test_those_that_are_there_are_kept_and_no_file_is_overwritten(self) -> None:
        self.good(*self.fleet(f"--prepare={self.directory / 'a.csv'}"))
        before = (self.directory / "a.csv").read_text()
        self.good(*self.fleet(f"--prepare={self.directory / 'b.csv'}", vens=3))
        self.assertEqual(before, "".join((self.directory / "b.csv").read_text().splitlines(keepends=True)[:3]))
        self.has(self.refused(*self.fleet(f"--prepare={self.directory / 'a.csv'}")), "not overwritten")

    def test_a_name_that_cannot_be_one_and_a_missing_authority_are_told(self) -> None:
        self.has(self.refused(*self.fleet("--name=../x"), code=2), "cannot be a name")
        (self.directory / "certs" / "ca.key").unlink()
        self.has(self.refused(*self.fleet()), "ca.key")

    # --- what is shown ------------------------------------------------------------------------------

    def test_ctrl_c_ends_with_the_summary(self) -> None:
        text = self.good(*self.fleet())
        self.has(text, "2 of 2 registered", "oadrPoll", "HTTP 503", "p99 ms", "19.8")

    def test_the_result_is_for_programs_too(self) -> None:
        file = self.directory / "result.json"
        result = self.shown(*self.fleet(f"--output={file}"))
        self.assertEqual(result, json.loads(file.read_text()))
        self.assertEqual((2, 2, 2, 2), tuple(result[name] for name in ("vens", "registered", "messages", "errors")))
        [kind] = result["kinds"]
        self.assertEqual(("oadrPoll", 2, {"HTTP 503": 2}), (kind["message"], kind["count"], kind["errors"]))
        self.assertEqual(2, sum(row["messages"] for row in result["course"]))
        self.has(self.refused(*self.fleet(f"--output={self.directory}")), "directory")

    def test_a_plot_without_matplotlib_is_refused_before_the_run(self) -> None:
        with patch.object(fleet, "find_spec", lambda name: None):
            self.has(self.refused(*self.fleet("--plot=x.svg")), "pip install matplotlib")
        self.has(self.refused(*self.fleet("--plot=x.gif"), code=2), ".svg")
        self.assertEqual([], self.swarm.jobs)

    def test_a_plot_shows_messages_and_errors_and_their_times(self) -> None:
        drawn: list[tuple[str, list[Any]]] = []

        class Axes:
            spines: Any = type(
                "Spines", (), {"__getitem__": lambda self, names: self, "set_visible": lambda *_: None}
            )()

            def plot(self, seconds: list[int], values: list[Any], label: str, color: str) -> None:
                drawn.append((label, values))

            def __getattr__(self, name: str) -> Any:
                return lambda *_, **__: None

        class Figure:
            def suptitle(self, text: str) -> None: ...
            def savefig(self, file: Path, dpi: int) -> None:
                file.write_text("picture")

        class Plots:
            def use(self, name: str) -> None: ...
            def subplots(self, *_: Any, **__: Any) -> Any:
                return Figure(), (Axes(), Axes())

            def close(self, figure: Any) -> None: ...

        file = self.directory / "plot.svg"
        with (
            patch.object(fleet, "find_spec", lambda name: name),
            patch.object(fleet.importlib, "import_module", lambda name: Plots()),
        ):
            self.good(*self.fleet(f"--plot={file}"))
        self.assertEqual("picture", file.read_text())
        self.assertEqual(["answered", "errors", "p50", "p99"], [label for label, _ in drawn])
        self.assertEqual([2, 2], [sum(values) for _, values in drawn[:2]])
