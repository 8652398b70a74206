"""What becomes of a comparison: a file of JSON, a table for the terminal, a table for the documents."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

_HEAD = ("scenario", "openleadr", "oadrvtn", "floor", "ratio", "goal", "to floor", "p50 ms", "p99 ms", "RSS MB")


def write(results: Sequence[dict[str, Any]], file: Path | None) -> Path:
    """Keep them; where that is."""
    file = file or Path(__file__).parent / "results" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")
    return file


def met(figures: dict[str, Any]) -> bool | None:
    """Whether the goals of a scenario are met; None where it has none."""
    pairs = [(figures["ratio"], figures["goal"]), (figures["to_floor_goal"], figures["to_floor"])]
    asked = [have >= least for have, least in pairs if have is not None and least is not None]
    return all(asked) if asked else None


def _cells(figures: dict[str, Any]) -> list[str]:
    """A row of ``_HEAD``: the peer's latency and memory behind ours."""
    theirs, ours, floor = (figures[name] for name in ("theirs", "ours", "floor"))
    goal = " / ".join(f"{figures[name]:g}" for name in ("goal", "stretch") if figures[name] is not None)
    limit = figures["to_floor_goal"]
    return [
        figures["title"],
        *(f"{one['cpu_ms']:.3g}" for one in (theirs, ours, floor)),
        f"{figures['ratio']:.2f}",
        goal,
        f"{figures['to_floor']:.2f}" + (f" (at most {limit:g})" if limit else ""),
        *(f"{ours[name]:.3g} / {theirs[name]:.3g}" for name in ("p50_ms", "p99_ms", "rss_mb")),
    ]


def table(results: Sequence[dict[str, Any]]) -> Table:
    """For the terminal: red is a goal that is missed."""
    shown = Table(*_HEAD, title="server CPU ms of a message (latency and memory: ours / theirs)", title_justify="left")
    styles = {True: "green", False: "red", None: ""}
    for figures in results:
        shown.add_row(*_cells(figures), style=styles[met(figures)])
    return shown


def publish(results: Sequence[dict[str, Any]], directory: Path) -> None:
    """For the documents: performance.csv, and a sentence about the run, performance.inc."""
    with (directory / "performance.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEAD)
        writer.writerows(_cells(figures) for figures in results)
    about = results[-1]["conditions"]
    busy = [figures[name]["busy"] for figures in results for name in ("ours", "theirs")]
    (directory / "performance.inc").write_text(
        f"Python {about['python']}, {about['peer']}, {about['cpu']}, {about['system']}.\n"
        f"{about['repetitions']} repetitions of {about['seconds']:g} s after {about['warm_up']:g} s, and "
        f"{about['latency']:g} s at the fixed rate.\n"
        f"A server had its core for {min(busy):.0%} to {max(busy):.0%} of the time.\n"
    )
