"""What every command does: ask the VTN that is meant, and show people or programs what it says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from ..console.client import Client, find_config
from ..model.config import load
from ..security.certificates import printable


def ask(method: str, *path: str, **more: Any) -> Any:
    """Ask the VTN that --config means."""
    root = click.get_current_context().find_root()
    if root.obj is None:
        root.obj = Client.of(load(find_config(root.params["config"])))
    return root.obj.call(method, *path, **more)


_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z")


def cell(value: Any) -> str:
    """A value for people: without markup, escape sequences, and fractions of a second."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return "" if value is None else printable(_INSTANT.sub(r"\1Z", str(value)))


def _print(table: Table) -> None:
    # Names come from the wire: no markup.  What goes into a pipe is not cut at 80 columns.
    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)


def print_table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; one with a title stands apart from what is before it, or is left out where it has no rows."""
    table = Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)
    for row in rows:
        table.add_row(*map(cell, row))
    if title and table.row_count:
        click.echo()
    if not title or table.row_count:
        _print(table)


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Names with their values, but for those that say nothing."""
    table = Table.grid(padding=(0, 3))
    for name, value in pairs.items():
        if value not in (None, "", [], ()):
            table.add_row(name, cell(value))
    _print(table)


def print_json(value: Any) -> None:
    """For programs."""
    click.echo(json.dumps(value, indent=2))


json_option = click.option("--json", "as_json", is_flag=True, help="Print what the API says, for programs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what that would do.")


def only_tried(dry_run: bool) -> dict[str, Any]:
    """The query of a write that may be only tried."""
    return {"dry_run": "1" if dry_run else None}


_SPAN = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def span(seconds: int) -> str:
    """The two largest units: ``3 h 5 min``."""
    parts = []
    for size, unit in _SPAN:
        number, seconds = divmod(seconds, size)
        parts.append(f"{number} {unit}")
    first = next((index for index, part in enumerate(parts) if not part.startswith("0")), len(parts) - 1)
    return " ".join(parts[first : first + 2])


def said(line: Mapping[str, Any]) -> tuple[str, str | None]:
    """How a line of the ledger stands, and what the VEN opted."""
    told = [line["state"]]
    if line["withdrawn"] and line["state"] != "withheld":
        told.append("removed" if line["removed"] else "withdrawn")
    if line["unanswered_at"] and line["wants"] == "answer":
        told.append("overdue")
    return ", ".join(told), line["opt_type"]
