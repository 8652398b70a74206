"""A fleet of simulated VENs at the command line: what a VTN can bear, tried before real VENs do."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from cryptography.hazmat.primitives.serialization import Encoding
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..console.files import write_csv
from ..model.config import read_duration
from ..security import certificates, fingerprint
from ..ven.figures import Course
from ..ven.swarm import Job, Swarm, SwarmError
from .screen import configuration, json_option, print_json, print_pairs, print_table, progress

_LOOK = 0.5
"""Seconds between two looks at whether it is over."""
_PICTURES = (".png", ".svg")


class _Duration(click.ParamType):
    """Seconds, as the configuration writes them."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return read_duration(float(value) if str(value).replace(".", "", 1).isdigit() else value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_DURATION = _Duration()


def _is_here(host: str) -> bool:
    """Whether a host is this machine, and by its name alone: no name server is asked."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked(url: str, consent: bool) -> str:
    """The address, if a fleet may be sent there."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise click.UsageError(f"{url}: {error}") from error
    if parts.scheme != "https" or not host:
        raise click.UsageError(f"{url}: is no address such as https://localhost:8443")
    if not (consent or _is_here(host)):
        raise click.UsageError(
            f"{host} is not this machine.  A fleet can bring a server down: "
            "say --yes-this-server-is-mine if it is, and its owners know"
        )
    return url


def _address() -> str:
    """That of the VTN which --config means."""
    listen = configuration().listen
    everywhere = listen.host in ("", "0.0.0.0", "::") or _is_here(listen.host)
    host = "localhost" if everywhere else listen.host
    return f"https://{f'[{host}]' if ':' in host else host}:{listen.port}{listen.path_prefix}"


def _fingerprints(directory: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Those of the certificates that are there, and of the others, which are made."""
    missing = []
    for name in names:
        file = directory / f"{name}.crt"
        if file.exists():
            yield name, fingerprint.sha256(certificates.load_certificates(file)[0].public_bytes(Encoding.DER))
        else:
            missing.append(name)
    for name, credential in zip(missing, certificates.issue_each(directory, missing), strict=True):
        yield name, credential.fingerprint


def _prepare(file: Path, names: Sequence[str], known: Mapping[str, bytes]) -> None:
    rows = [{"ven_id": name, "name": name, "fingerprints": [fingerprint.show(known[name])]} for name in names]
    try:
        with file.open("x", encoding="utf-8", newline="") as new:
            new.write(write_csv(("ven_id", "name", "fingerprints"), rows))
    except FileExistsError as error:
        raise click.ClickException(f"{file} exists already and is not overwritten") from error
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error


# --- the run --------------------------------------------------------------------------------------------


@contextmanager
def _bars(vens: int, seconds: float | None) -> Iterator[Callable[[float, int, Course], None]]:
    """Bars on stderr: how many VENs are registered, how much of the time is over, and how it goes."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        there = bars.add_task("VENs", total=vens, told="")
        over = bars.add_task("running", total=seconds, told="")

        def show(elapsed: float, registered: int, course: Course) -> None:
            bars.update(there, completed=registered, told=f"{registered:,} of {vens:,}")
            last = course.rows[-1] if course.rows else {"messages": 0, "p99_ms": None}
            slow = "" if last["p99_ms"] is None else f", p99 {last['p99_ms']:.0f} ms"
            told = f"{last['messages']:,} messages/s{slow}, {course.total.failed:,} errors"
            bars.update(over, completed=elapsed if seconds is None else min(elapsed, seconds), told=told)

        yield show


def run(job: Job, processes: int, seconds: float | None) -> dict[str, Any]:
    """Have a fleet do its job for so long, or until Ctrl-C; what became of it.  Raises SwarmError."""
    began_at, began = datetime.now(UTC), time.monotonic()
    course, registered = Course(), [0] * processes
    swarm = Swarm(job, processes)
    try:
        with _bars(len(job.names), seconds) as show:
            while (elapsed := time.monotonic() - began) < (seconds or elapsed + 1):
                left = _LOOK if seconds is None else min(_LOOK, seconds - elapsed)
                for beat in swarm.beats(left):
                    course.add(time.monotonic() - began, beat.figures)
                    registered[beat.number] = beat.registered
                show(elapsed, sum(registered), course)
    except KeyboardInterrupt:
        pass
    finally:
        elapsed = time.monotonic() - began
        for beat in swarm.stop():
            course.add(elapsed, beat.figures)
            registered[beat.number] = beat.registered
    course.close()
    return {
        "url": job.url,
        "began_at": began_at.isoformat(timespec="seconds"),
        "vens": len(job.names),
        "registered": sum(registered),
        "processes": len(swarm.parts),
        **course.total.summary(elapsed),
        "course": course.rows,
    }


def _print(result: Mapping[str, Any]) -> None:
    print_pairs(
        {
            "VENs": f"{result['registered']:,} of {result['vens']:,} registered at {result['url']}",
            "Messages": f"{result['messages']:,} answered in {result['seconds']:.1f} s, {result['rate']:,.1f} a second",
            "Errors": f"{result['errors']:,}",
        }
    )
    print_table(
        "What was sent",
        ("Message", "Answered", "A second", "p50 ms", "p99 ms"),
        (
            (k["message"], f"{k['count']:,}", f"{k['rate']:.1f}", *(_number(k[p]) for p in ("p50_ms", "p99_ms")))
            for k in result["kinds"]
        ),
    )
    print_table(
        "What went wrong",
        ("Message", "How", "How often"),
        ((k["message"], error, f"{n:,}") for k in result["kinds"] for error, n in k["errors"].items()),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _draw(result: Mapping[str, Any], file: Path) -> None:
    """Messages and errors in each second, and how long the answers took."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    rows = result["course"]
    seconds = [row["second"] for row in rows]
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 6))
    above.plot(seconds, [row["messages"] for row in rows], label="answered", color="#1f6f9f")
    above.plot(seconds, [row["errors"] for row in rows], label="errors", color="#c0392b")
    above.set_ylabel("messages in a second")
    for name, colour in (("p50_ms", "#9fc5a8"), ("p99_ms", "#1f6f9f")):
        values = [float("nan") if row[name] is None else row[name] for row in rows]
        below.plot(seconds, values, label=name.removesuffix("_ms"), color=colour)
    below.set_ylabel("time to an answer, ms")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{result['vens']:,} VENs")
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _picture(file: Path | None) -> None:
    """Raise what is to be known before a long run, not after it."""
    if file and file.suffix.lower() not in _PICTURES:
        raise click.UsageError(f"{file}: is neither {' nor '.join(_PICTURES)}")
    if file and find_spec("matplotlib") is None:
        raise click.ClickException("a plot wants matplotlib: pip install matplotlib, or leave --plot out")


@click.command()
@click.option("--vens", type=click.IntRange(1), required=True, help="How many VENs.")
@click.option("--url", help="The VTN's address, such as https://localhost:8443.  [that of the configuration]")
@click.option(
    "--yes-this-server-is-mine", "consent", is_flag=True, help="Also where the address is not this machine's."
)
@click.option(
    "--certs", "directory", default="certs", show_default=True, type=click.Path(path_type=Path),
    help="Where the VENs' certificates are; those that are missing are made by its authority (ca.crt, ca.key).",
)  # fmt: skip
@click.option("--ca", type=click.Path(path_type=Path), help="Who vouches for the VTN.  [ca.crt of --certs]")
@click.option("--name", default="fleet", show_default=True, help="The VENs are NAME-1, NAME-2 and so on.")
@click.option(
    "--prepare", type=click.Path(path_type=Path), metavar="FILE",
    help="Only make the certificates, and FILE (.csv) for `oadrvtn ven import`.",
)  # fmt: skip
@click.option("--poll", type=_DURATION, help="How often each VEN polls.  [as the VTN asks]")
@click.option("--report-period", type=_DURATION, help="How often what the VTN wants is reported.  [as it asks]")
@click.option("--opt-rate", type=click.FloatRange(0), default=0.0, help="Opt schedules of a VEN in an hour.  [none]")
@click.option(
    "--opt-out", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="The share of events opted out of."
)
@click.option(
    "--ramp-up", type=_DURATION, default="10s", show_default=True, help="The time in which all VENs begin, in turn."
)
@click.option("--duration", type=_DURATION, help="How long all that lasts.  [until Ctrl-C]")
@click.option("--fresh", is_flag=True, help="A connection for each message; otherwise connections are kept.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="How many simulate the VENs.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the result there, as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw how it went (.png, .svg).")
@json_option
def fleet(
    vens: int,
    url: str | None,
    consent: bool,
    directory: Path,
    ca: Path | None,
    name: str,
    prepare: Path | None,
    poll: float | None,
    report_period: float | None,
    opt_rate: float,
    opt_out: float,
    ramp_up: float,
    duration: float | None,
    fresh: bool,
    processes: int,
    output: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Simulate a fleet of VENs, to see what a VTN of your own bears.

    They register, poll, report what the VTN asks for and answer events, over real mutual TLS.  The VTN has to
    know them:

    \b
      oadrvtn fleet --vens 5000 --prepare fleet.csv
      oadrvtn ven import fleet.csv
      oadrvtn fleet --vens 5000 --poll 10s --duration 5m --processes 2 --plot fleet.svg

    (With registration.policy = "open" the last is enough.)  Ctrl-C ends it, with the summary.
    """
    _picture(plot)
    names = [f"{name}-{number}" for number in range(1, vens + 1)]
    if not prepare:
        url = _checked(url or _address(), consent)
    try:
        with progress("certificates", vens) as came:
            known = {}
            for one, full in _fingerprints(directory, names):
                known[one] = full
                came(1)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if prepare:
        _prepare(prepare, names, known)
        click.echo(f"{prepare} has {vens:,} VENs.  To let them in:\n\n  oadrvtn ven import {prepare}")
        return
    assert url
    job = Job(
        url=url,
        ca=str(ca or directory / "ca.crt"),
        directory=str(directory),
        names=names,
        poll=poll,
        report_period=report_period,
        opts_per_hour=opt_rate,
        opt_out=opt_out,
        gap=ramp_up / vens,
        fresh=fresh,
        apart=sys.platform == "linux" and _is_here(urlsplit(url).hostname or ""),
    )
    try:
        result = run(job, processes, duration)
    except SwarmError as error:
        raise click.ClickException(str(error)) from error
    if output:
        try:
            output.write_text(json.dumps(result, indent=1) + "\n")
        except OSError as error:
            raise click.ClickException(f"{output}: {error.strerror}") from error
    if plot:
        _draw(result, plot)
    if as_json:
        return print_json(result)
    _print(result)
