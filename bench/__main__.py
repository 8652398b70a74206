"""The command line of the measurements."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from . import (
    compare,
    events,
    fleet,
    guard,
    hostile,
    kills,
    nonces,
    overload,
    plot,
    polls,
    profile,
    readings,
    results,
    scale,
    storm,
)
from .scenarios import SCENARIOS

T = TypeVar("T")


def reference() -> float:
    """CPU seconds of a loop that is always the same: what a figure of this run is compared with."""
    started = time.process_time()
    total = 0
    for number in range(3_000_000):
        total += number * number % 7
    return time.process_time() - started


@attrs.frozen
class Output:
    """Shows progress on stderr, and results on stdout as a table or as JSON."""

    as_json: bool
    quiet: bool

    def track(self, items: Iterable[T], what: str, total: int) -> Iterator[T]:
        """The items, with a bar that grows."""
        console = Console(stderr=True, quiet=self.quiet)
        yield from track(items, what, total=total, console=console, transient=True)

    def show(self, scenario: str, figures: dict[str, Any]) -> None:
        """Print what was measured, beside the reference."""
        seconds = reference()
        figures = {**figures, "reference_cpu_seconds": round(seconds, 4)}
        for name in [name for name in figures if name.endswith("cpu_seconds") and name != "reference_cpu_seconds"]:
            figures[name.replace("cpu_seconds", "to_reference")] = round(figures[name] / seconds, 3)
        if self.as_json:
            click.echo(json.dumps({"scenario": scenario, **figures}))
            return
        table = Table("figure", "value", title=scenario, title_justify="left")
        for name, value in figures.items():
            table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int | float) else str(value))
        Console(file=sys.stdout).print(table)


@click.group(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each scenario.")
@click.option("--quiet", is_flag=True, help="No progress bars.")
@click.pass_context
def main(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Read the options that all scenarios share."""
    context.obj = Output(as_json, quiet)


@main.command("events", help=events.__doc__)
@click.option("--vens", default=10_000, show_default=True, type=click.IntRange(1), help="How many VENs there are.")
@click.pass_obj
def run_events(output: Output, vens: int) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        output.show("events", events.run(Path(directory), vens, output.track))


@main.command("polls", help=polls.__doc__)
@click.option("--vens", default=100, show_default=True, type=click.IntRange(1), help="How many VENs poll.")
@click.option("--polls", "count", default=50_000, show_default=True, type=click.IntRange(1), help="Polls in all.")
@click.pass_obj
def run_polls(output: Output, vens: int, count: int) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        output.show("polls", polls.run(Path(directory), vens, count, output.track))


@main.command("nonces", help=nonces.__doc__)
@click.option("--live", default=50_000, show_default=True, type=click.IntRange(1), help="Nonces that are remembered.")
@click.option("--messages", default=100, show_default=True, type=click.IntRange(1, 100), help="Of each round and kind.")
@click.pass_obj
def run_nonces(output: Output, live: int, messages: int) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        output.show("nonces", nonces.run(Path(directory), live, messages, output.track))


@main.command("kills", help=kills.__doc__)
@click.option("--vens", default=20, show_default=True, type=click.IntRange(1), help="How many VENs there are.")
@click.option("--kills", "count", default=50, show_default=True, type=click.IntRange(1), help="How often it is killed.")
@click.pass_obj
def run_kills(output: Output, vens: int, count: int) -> None:
    """Run the scenario; a loss is an error."""
    with tempfile.TemporaryDirectory() as directory:
        figures = kills.run(Path(directory), vens, count, output.track)
    output.show("kills", figures)
    if lost := {name: figures[name] for name in figures if name.startswith(("lost", "offered")) and figures[name]}:
        raise click.ClickException(f"what was acknowledged is not what is there: {lost}")


@main.command("scale", help=scale.__doc__)
@click.option("--vens", default=100_000, show_default=True, type=click.IntRange(1), help="How many VENs are many.")
@click.option("--few", default=100, show_default=True, type=click.IntRange(1), help="How many are few.")
@click.option("--group", default=10_000, show_default=True, type=click.IntRange(1), help="How many get the event.")
@click.pass_obj
def run_scale(output: Output, vens: int, few: int, group: int) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        output.show("scale", scale.run(Path(directory), vens, few, group, output.track))


@main.command("readings", help=readings.__doc__)
@click.option(
    "--rows", "sizes", multiple=True, default=(1_000_000, 10_000_000), show_default=True, type=click.IntRange(1),
    help="How many readings, from few to many; may be repeated.",
)  # fmt: skip
@click.option("--vens", default=150, show_default=True, type=click.IntRange(1), help="How many VENs have them.")
@click.pass_obj
def run_readings(output: Output, sizes: tuple[int, ...], vens: int) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        output.show("readings", readings.run(Path(directory), sorted(sizes), vens, output.track))


@main.command("storm", help=storm.__doc__)
@click.option("--vens", default=5000, show_default=True, type=click.IntRange(1), help="How many VENs there are.")
@click.option("--processes", default=2, show_default=True, type=click.IntRange(1), help="How many simulate them.")
@click.option("--poll", default=10.0, show_default=True, help="Seconds between two polls of a VEN.")
@click.option("--outage", default=5.0, show_default=True, help="Seconds for which the VTN is down.")
@click.option("--fresh", is_flag=True, help="A connection for each message.")
@click.pass_obj
def run_storm(output: Output, vens: int, processes: int, poll: float, outage: float, fresh: bool) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        output.show("storm", storm.run(Path(directory), vens, processes, poll, outage, fresh, output.track))


@main.command("fleet", help=fleet.__doc__)
@click.option(
    "--vens", "sizes", multiple=True, default=(500, 1000, 2000, 5000), show_default=True, type=click.IntRange(1),
    help="How many VENs; may be repeated.",
)  # fmt: skip
@click.option("--processes", default=2, show_default=True, type=click.IntRange(1), help="How many simulate them.")
@click.option("--poll", default=10.0, show_default=True, help="Seconds between two polls of a VEN.")
@click.option("--report", default=300.0, show_default=True, help="Seconds between two reports of a VEN.")
@click.option("--seconds", default=120.0, show_default=True, help="How long, once all are registered.")
@click.pass_obj
def run_fleet(
    output: Output, sizes: tuple[int, ...], processes: int, poll: float, report: float, seconds: float
) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        found = fleet.run(Path(directory), sorted(sizes), processes, poll, report, seconds, output.track)
    for figures in found:
        output.show("fleet", figures)


@main.command("overload", help=overload.__doc__)
@click.option("--vens", default=1000, show_default=True, type=click.IntRange(20), help="VENs, a connection each.")
@click.option("--seconds", default=15.0, show_default=True, help="How long there is too much to do.")
@click.option("--calm", default=10.0, show_default=True, help="Seconds that are looked at after that.")
@click.pass_obj
def run_overload(output: Output, vens: int, seconds: float, calm: float) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        output.show("overload", overload.run(Path(directory), vens, seconds, calm, output.track))


@main.command("hostile", help=hostile.__doc__)
@click.option("--connections", default=2000, show_default=True, type=click.IntRange(1), help="Those of each kind.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each of the three parts.")
@click.pass_obj
def run_hostile(output: Output, connections: int, seconds: float) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as directory:
        output.show("hostile", hostile.run(Path(directory), connections, seconds, output.track))


@main.command("compare", help=compare.__doc__)
@click.argument("scenarios", nargs=-1, type=click.Choice(list(SCENARIOS)))
@click.option(
    "--vens",
    default=500,
    show_default=True,
    type=click.IntRange(1),
    help="VENs that take turns; too few would sign more than they may.",
)
@click.option("--repetitions", default=3, show_default=True, type=click.IntRange(1), help="Of each server.")
@click.option("--seconds", default=10.0, show_default=True, help="The length of each repetition.")
@click.option("--warm-up", default=5.0, show_default=True, help="Seconds before the first one.")
@click.option("--latency", default=10.0, show_default=True, help="Seconds at the fixed rate.")
@click.option("--results", "kept", type=click.Path(path_type=Path), help="Keep them here [bench/results/TIME.json].")
@click.option("--publish", type=click.Path(exists=True, path_type=Path), help="Write the documents' table and plots.")
@click.pass_obj
def run_compare(
    output: Output,
    scenarios: tuple[str, ...],
    vens: int,
    repetitions: int,
    seconds: float,
    warm_up: float,
    latency: float,
    kept: Path | None,
    publish: Path | None,
) -> None:
    """Run the scenarios, all where none is named."""
    length = compare.Length(warm_up, seconds, repetitions, latency)
    done: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        for figures in compare.run(Path(directory), scenarios or tuple(SCENARIOS), vens, length, output.track):
            done.append(figures)
            if output.as_json:
                click.echo(json.dumps(figures))
            kept = results.write(done, kept)
    if not output.as_json:
        Console(file=sys.stdout).print(results.table(done))
    click.echo(f"kept in {kept}", err=True)
    if publish:
        results.publish(done, publish)
        plot.draw(done, publish / "performance")


@main.command("guard", help=guard.__doc__)
@click.option("--keep", is_flag=True, help="Keep the figures of this run.")
@click.pass_obj
def run_guard(output: Output, keep: bool) -> None:
    """Measure, and compare with what is kept."""
    with tempfile.TemporaryDirectory() as directory:
        found = guard.run(Path(directory), output.track)
    click.echo(json.dumps(found, indent=2))
    if keep:
        guard.KEPT.write_text(json.dumps(found, indent=2) + "\n")
    elif losses := guard.lost(found, json.loads(guard.KEPT.read_text())):
        raise click.ClickException("a message costs more than it did\n" + "\n".join(losses))


@main.command("profile", help=profile.__doc__)
@click.argument("scenario", type=click.Choice(list(SCENARIOS)))
@click.option("--vens", default=500, show_default=True, type=click.IntRange(1), help="VENs that take turns.")
@click.option("--seconds", default=10.0, show_default=True, help="How long.")
@click.option("--functions", default=40, show_default=True, help="How many are shown.")
@click.pass_obj
def run_profile(output: Output, scenario: str, vens: int, seconds: float, functions: int) -> None:
    """Run one scenario."""
    with tempfile.TemporaryDirectory() as directory:
        figures = profile.run(Path(directory), scenario, vens, compare.Length(seconds=seconds), output.track)
    rows = figures.pop("functions")
    if output.as_json:
        click.echo(json.dumps({**figures, "functions": rows[:functions]}))
        return
    shares = Table("area", "ms", title=str({k: v for k, v in figures.items() if k != "areas"}), title_justify="left")
    for area, milliseconds in figures["areas"].items():
        shares.add_row(area, f"{milliseconds:.3f}")
    Console(file=sys.stdout).print(shares)
    table = Table("function", "calls", "own ms", "with callees ms")
    for row in rows[:functions]:
        table.add_row(*(str(value) for value in row.values()))
    Console(file=sys.stdout).print(table)


if __name__ == "__main__":
    main(prog_name="python -m bench")
