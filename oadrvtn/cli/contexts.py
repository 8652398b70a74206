"""Market contexts at the command line: who takes part in which program."""

from __future__ import annotations

from typing import Any

import click

from . import ids
from .groups import print_effects
from .screen import ask, ask_all, dry_run_option, json_option, only_tried, print_json, print_pairs, print_table


@click.group("market-context")
def market_context() -> None:
    """Market contexts: who takes part in which programme.

    \b
      oadrvtn market-context list
      oadrvtn market-context add http://example.com/dr ven-1 ven-2
      oadrvtn event create --level 2 --market-context http://example.com/dr

    A VEN of which nothing is said takes part in all of them.
    """


@market_context.command("list")
@click.argument("text", required=False)
@json_option
def list_market_contexts(text: str | None, as_json: bool) -> None:
    """List the market contexts that VENs or events name: all, or those with TEXT in them."""
    found = ask_all("market-contexts", of="market_contexts", query={"q": text})
    if as_json:
        return print_json(found)
    names = ("market_context", "vens", "takes_part", "events", "events_current")
    columns = ("Market context", "VENs", "VENs that take part", "Events", "Events now")
    print_table(None, columns, ([row[name] for name in names] for row in found["market_contexts"]))


@market_context.command("show")
@click.argument("market_context", type=ids.MARKET_CONTEXT)
@json_option
def show_market_context(market_context: str, as_json: bool) -> None:
    """Show a market context with the VENs that are said to take part in it."""
    _show(ask("GET", "market-contexts", market_context), as_json)


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(found)
    print_pairs(
        {
            "Market context": found["market_context"],
            "VENs": found["ven_ids"] or "none by name",
            "Sent to everybody": f"{found['takes_part']} VENs",
            "Events": f"{found['events']} stored, {found['events_current']} current",
        }
    )
    print_effects(found.get("effects", ()))


_CONTEXT = click.argument("market_context", type=ids.MARKET_CONTEXT)
_VENS = click.argument("ven_ids", type=ids.VEN, nargs=-1, required=True, metavar="VEN_ID...")


@market_context.command("add")
@_CONTEXT
@_VENS
@dry_run_option
@json_option
def add_participants(market_context: str, ven_ids: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Have VENs take part in a market context; they lose the events of others that are for everybody."""
    _change(market_context, {"add": ven_ids}, dry_run, as_json)


@market_context.command("remove")
@_CONTEXT
@_VENS
@dry_run_option
@json_option
def remove_participants(market_context: str, ven_ids: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Have VENs take part no longer; who is left with none takes part in all."""
    _change(market_context, {"remove": ven_ids}, dry_run, as_json)


def _change(market_context: str, body: dict[str, Any], dry_run: bool, as_json: bool) -> None:
    found = ask("POST", "market-contexts", market_context, "members", body=body, query=only_tried(dry_run))
    _show(found, as_json)
