"""An event at the command line as it goes on: what each VEN is told and answers, as it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from time import monotonic, sleep
from typing import Any

import click

from ..security.certificates import printable
from . import ids
from .screen import ask, cell, json_option, said

_SHARE = 10
"""The VTN is busy with this for at most one part in so many of the time."""
_OPEN = ("queued", "offered", "withheld")
_TOLD = ("state", "opt_type", "response_code", "unanswered_at", "withdrawn", "modification_number")


@click.command()
@click.argument("event_id", type=ids.EVENT)
@click.option("--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between looks.")
@json_option
def watch(event_id: str, interval: float, as_json: bool) -> None:
    """Show what VENs are told of an event and answer, as it comes.

    \b
      oadrvtn event watch EVENT_ID
      oadrvtn event watch EVENT_ID --json

    Ends when all have answered, or the event is not sent any more.  With --json each line is an object.
    """
    heading, known = "", dict[str, tuple[Any, ...]]()
    while True:
        asked_at = monotonic()
        found = ask("GET", "events", event_id)
        took = monotonic() - asked_at
        if not as_json and heading != (heading := _heading(found)):
            click.echo(printable(heading))
        for line in _news(found, known):
            click.echo(json.dumps(line) if as_json else printable(_told(line)))
        if found["deleted_at"] or not any(line["state"] in _OPEN for line in _present(found)):
            return
        sleep(max(interval, _SHARE * took))


def _heading(found: Mapping[str, Any]) -> str:
    counts = found["counts"]
    return (
        f"{found['event_id']} is {found['status']} at modification {found['modification_number']}: "
        f"{counts['vens']} VENs, {counts['offered']} were told, {counts['answered']} have answered, "
        f"{counts['in']} in, {counts['out']} out"
    )


def _present(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines of the ledger for the modification that counts."""
    return (line for line in found["ledger"] if line["modification_number"] == found["modification_number"])


def _news(found: Mapping[str, Any], known: dict[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """The lines of VENs that are not as they were known to be, which they are from then on."""
    for line in _present(found):
        told = tuple(line[name] for name in _TOLD)
        if known.get(line["ven_id"]) != told:
            known[line["ven_id"]] = told
            yield line


def _told(line: Mapping[str, Any]) -> str:
    at = line["answered_at"] or line["last_offered"] or line["queued_at"]
    state, opt_type = said(line)
    code = line["response_code"] if line["response_code"] not in (None, "200") else None
    more = (part for part in (opt_type, code, line["response_description"]) if part)
    return "  ".join((cell(at), line["ven_id"], state, *more))
