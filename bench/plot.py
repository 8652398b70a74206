"""The comparison as a picture: matplotlib is only asked for here (``pip install oadrvtn[bench]``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COLOURS = {"theirs": "#b0b0b0", "ours": "#1f6f9f", "floor": "#9fc5a8"}
_LABELS = {"theirs": "openleadr", "ours": "oadrvtn", "floor": "floor"}


def draw(results: Sequence[dict[str, Any]], stem: Path) -> None:
    """Write ``stem``.svg and ``stem``.png: CPU time of each scenario, with the ratio beside it."""
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "oadrvtn"
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(9, 0.75 * len(results) + 1.4))
    for row, name in enumerate(_LABELS):
        places = [number + (row - 1) * 0.27 for number in range(len(results))]
        values = [one[name]["cpu_ms"] for one in results]
        bars = axes.barh(places, values, 0.26, color=_COLOURS[name], label=_LABELS[name])
        axes.bar_label(bars, [f" {value:.3g}" for value in values], fontsize=7)
    axes.set_yticks(range(len(results)), [f"{one['title']}\n{one['ratio']:.1f} to 1" for one in results], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("server CPU time of a message, ms (logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    for end in ("svg", "png"):
        figure.savefig(stem.with_suffix(f".{end}"), dpi=120, metadata={"Date": None} if end == "svg" else {})
    pyplot.close(figure)
