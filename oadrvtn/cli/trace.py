"""What a VEN and the VTN said to each other lately, at the command line: with what was wrong, and where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import sleep
from typing import Any

import click

from ..security.certificates import printable
from . import ids
from .screen import ask, cell, json_option, print_json

_ARROWS = {"in": "<-", "out": "->"}


@click.command()
@click.argument("ven_id", type=ids.VEN, required=False)
@click.option(
    "--fingerprint",
    type=ids.CANDIDATE,
    metavar="AA:BB:...",
    help="Of a certificate that no VEN has, in place of a VEN.",
)
@click.option("--documents", is_flag=True, help="Also show the beginning of each document.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until it is interrupted.")
@click.option("--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between looks.")
@json_option
def trace(
    ven_id: str | None, fingerprint: str | None, documents: bool, follow: bool, interval: float, as_json: bool
) -> None:
    """Show the last messages of a VEN, both ways, with what was wrong and where.

    \b
      oadrvtn ven trace ven-1
      oadrvtn ven trace ven-1 --documents
      oadrvtn ven trace ven-1 --follow --json
      oadrvtn ven trace --fingerprint AA:BB:CC:DD:EE:FF:00:11:22:33

    Messages from the VEN are marked <-, those to it ->.  Polls that find nothing are only counted; IDs of
    registrations, addresses, keys and signatures are hidden.  With --follow and --json each line is an object.
    """
    if (ven_id is None) == (fingerprint is None):
        raise click.UsageError("say which VEN, or which certificate by --fingerprint AA:BB:...")
    path = ("vens", ven_id) if ven_id is not None else ("candidates", str(fingerprint))
    found = ask("GET", *path, "trace")
    if as_json and not follow:
        return print_json(found)
    while True:
        for message in found["messages"]:
            _print(message, documents, as_json)
        if not follow:
            break
        sleep(interval)
        found = ask("GET", *path, "trace", query={"cursor": found["next"]})
    if not found["messages"]:
        click.echo("nothing is remembered")
    if idle := found.get("idle_polls"):
        click.echo(f"{idle:,} polls found nothing")


def _print(message: Mapping[str, Any], documents: bool, as_json: bool) -> None:
    if as_json:
        return click.echo(json.dumps(message))
    bad = not message["code"].startswith("2")
    told = (
        cell(message["at"]),
        _ARROWS[message["direction"]],
        message["name"] or "?",
        message["code"],
        f"{message['size']:,} bytes",
        message["service"],
        message["peer"],
        "signed" if message["signed"] else "",
        ", ".join(message["bends"]),
        f"incident {message['incident']}" if message["incident"] else "",
    )
    click.secho(printable("  ".join(filter(None, told))), fg="red" if bad else None)
    if wrong := ": ".join(filter(None, (message["place"], message["verdict"]))):
        click.secho(f"    {printable(wrong)}", bold=True)
    for line in message["document"].splitlines() if documents else ():
        click.echo(f"    {printable(line)}")
