"""Readings at the command line: what VENs have measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from . import ids
from .screen import ask, json_option, print_json, print_table

_SCREENFUL = 100


@click.command()
@click.argument("ven_id", type=ids.VEN)
@click.option("--since", help='Readings from then on: "-1h", "2026-01-31T12:00:00Z".')
@click.option("--until", help="Readings before that.")
@click.option("--r-id", help="Only of this data point.")
@click.option("--period", metavar="DURATION", help="By periods: number, mean, least, most, sum and last of each.")
@click.option("--limit", type=click.IntRange(1), help=f"The newest so many; {_SCREENFUL}, or 10000 for a program.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, with all columns.")
@json_option
def readings(
    ven_id: str,
    since: str | None,
    until: str | None,
    r_id: str | None,
    period: str | None,
    limit: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show what a VEN has measured.

    \b
      oadrvtn readings ven-1 --since -1h
      oadrvtn readings ven-1 --since -1d --period 15m
      oadrvtn readings ven-1 --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --csv > january.csv
    """
    if as_csv and as_json:
        raise click.UsageError("choose one of --csv and --json")
    limit = limit or (10_000 if as_csv or as_json else _SCREENFUL)
    query = {
        "since": since, "until": until, "r_id": r_id, "period": period, "limit": limit,
        "format": "csv" if as_csv else None,
    }  # fmt: skip
    found = ask("GET", "vens", ven_id, "readings", query=query)
    if as_csv:
        click.echo(found, nl=False)
        truncated = found.count("\n") > limit
    else:
        truncated = found["truncated"]
    if as_json:
        print_json(found)
    elif not as_csv and not found["readings"]:
        click.echo("nothing was measured in this time")
    elif period and not as_csv:
        columns = ("Start", "Data point", "Number", "Mean", "Least", "Most", "Sum", "Last", "Unit")
        names = ("mean", "min", "max", "sum", "last")
        print_table(
            None,
            columns,
            (
                (r["start"], r["r_id"], r["count"], *(f"{r[name]:g}" for name in names), _unit(r))
                for r in found["readings"]
            ),
        )
    elif not as_csv:
        print_table(
            None,
            ("Start", "Request", "Data point", "Value", "Seconds", "Quality"),
            (
                (
                    r["start"],
                    r["report_request_id"],
                    r["r_id"],
                    _reading(r),
                    r["seconds"] and f"{r['seconds']:g}",
                    r["data_quality"],
                )
                for r in found["readings"]
            ),
        )
    if truncated:
        click.echo(f"only the newest {limit} are shown: narrow it by --since and --until, or raise --limit", err=True)


def _reading(reading: Mapping[str, Any]) -> Any:
    return reading["payload"] if reading["value"] is None else f"{reading['value']:g} {_unit(reading)}".rstrip()


def _unit(reading: Mapping[str, Any]) -> str:
    scale = reading["scale"]
    return f"{'' if scale in (None, 'none') else scale}{reading['unit'] or ''}"
