"""What every command does: ask the VTN that is meant, and show people or programs what it says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ..console.client import ApiError, Client, find_config
from ..model.config import Config, ConfigError, load
from ..security.certificates import printable


def configuration() -> Config:
    """The configuration of the VTN that --config means."""
    path = find_config(click.get_current_context().find_root().params["config"])
    try:
        return load(path)
    except ConfigError as error:  # which file that is, nobody may have said
        said = str(error)
        raise ApiError(said if said.startswith(f"{path}:") else f"{path}: {said}") from error


def ask(method: str, *path: str, **more: Any) -> Any:
    """Ask the VTN that --url or --config means."""
    root = click.get_current_context().find_root()
    if root.obj is None:
        url, token_file, ca = (root.params[name] for name in ("url", "token_file", "ca"))
        if url and not token_file:
            raise click.UsageError("--url wants a token: name its file by --token-file or OADRVTN_TOKEN_FILE")
        root.obj = Client.at(url, token_file, ca) if url else Client.of(configuration(), token_file, ca)
    if root.meta.get(_TRIED):
        more["query"] = {"dry_run": "1"}
    return root.obj.call(method, *path, **more)


_PAGE = 1000


def ask_all(
    *path: str,
    of: str,
    query: Mapping[str, Any] | None = None,
    backwards: bool = False,
    came: Callable[[int], object] = lambda number: None,
) -> dict[str, Any]:
    """A whole list, ``of`` something: all its pages as one; those that lead ``backwards`` the other way round.

    ``came`` is told how many of them came with each page.
    """
    pages: list[list[Any]] = []
    asked = {"limit": _PAGE, **(query or {})}
    while True:
        found = ask("GET", *path, query=asked)
        pages.append(found[of])
        came(len(found[of]))
        if not found["next"]:
            return {of: list(chain.from_iterable(pages[::-1] if backwards else pages))}
        asked["cursor"] = found["next"]


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


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar on stderr, where that is a screen, while something is done; yields what is told of each part."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda number: bar.advance(task, number)


def print_json(value: Any) -> None:
    """For programs."""
    click.echo(json.dumps(value, indent=2))


json_option = click.option("--json", "as_json", is_flag=True, help="Print what the API says, for programs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only show what that would do.")

_TRIED = f"{__name__}.tried"


def _try(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_TRIED] = True
        click.echo("Only tried, nothing is done.  It would be:", err=True)


trial_option = click.option(
    "--dry-run", is_flag=True, is_eager=True, expose_value=False, callback=_try, help="Only show what that would do."
)
"""The same for a command whose one request is a write: what it shows is what it would show."""


class _Consent(click.Option):
    def prompt_for_value(self, ctx: click.Context) -> Any:
        """Nobody has to agree to what is only tried."""
        return bool(ctx.meta.get(_TRIED)) or super().prompt_for_value(ctx)


def consent_option(prompt: str) -> Callable[[Any], Any]:
    """``--yes``, and the question that is asked without it."""
    return click.confirmation_option(prompt=prompt, cls=_Consent)


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
