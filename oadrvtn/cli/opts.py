"""Availability at the command line: what VENs say of it, one by one and counted."""

from __future__ import annotations

import click

from . import ids
from .screen import ask, json_option, print_json, print_pairs, print_table

_since = click.option("--since", help='From then on: "-1h", "2026-01-31T12:00:00Z"; now, if left out.')
_until = click.option("--until", default="+1d", show_default=True, help="Before that.")


@click.command("opts")
@click.argument("ven_id", type=ids.VEN)
@_since
@_until
@json_option
def ven_opts(ven_id: str, since: str | None, until: str, as_json: bool) -> None:
    """Show when a VEN says that it is available, by its opt schedules.

    \b
      oadrvtn ven opts ven-1 --until +7d
    """
    found = ask("GET", "vens", ven_id, "opts", query={"since": since, "until": until})
    if as_json:
        return print_json(found)
    print_table(
        None,
        ("Start", "End", "Type", "Reason", "Market context", "Only for", "Opt"),
        (
            (
                o["start"], o["end"] or "open", o["opt_type"], o["opt_reason"], o["market_context"],
                o["resource_ids"] + o["device_classes"], o["opt_id"],
            )
            for o in found["opts"]
        ),
    )  # fmt: skip


@click.command()
@_since
@_until
@click.option("--market-context", type=ids.MARKET_CONTEXT, help="Only VENs of this programme, and what they say of it.")
@click.option("--group", "group_id", type=ids.GROUP, help="Only VENs of this group.")
@json_option
def availability(
    since: str | None, until: str, market_context: str | None, group_id: str | None, as_json: bool
) -> None:
    """Count the VENs that are available within a time.

    \b
      oadrvtn availability --since +1h --until +3h --group north
    """
    query = {"since": since, "until": until, "market_context": market_context, "group_id": group_id}
    found = ask("GET", "availability", query=query)
    if as_json:
        return print_json(found)
    print_pairs(
        {
            "From": found["since"],
            "Until": found["until"],
            "VENs": found["registered"],
            "Available": found["available"],
            "Not available": found["unavailable"],
            "For a part of it": found["partly"],
            "Said nothing": found["unstated"],
        }
    )
