"""Reports at the command line: ask VENs for them, see what is missing, and in what state resources are."""

from __future__ import annotations

import json
from typing import IO, Any

import click

from ..security.certificates import printable
from ..storage.reports import STATES
from . import ids
from .screen import ask, ask_all, dry_run_option, json_option, only_tried, print_json, print_table, trial_option


@click.group()
def report() -> None:
    """Reports: ask VENs for them, see what is missing, and in what state resources are.

    \b
      oadrvtn ven show ven-1
      oadrvtn report request ven-1 SPECIFIER --r-id power --granularity 1m --back 5m
      oadrvtn report cancel ven-1 REQUEST_ID
      oadrvtn report want TELEMETRY_USAGE --reading-type "Direct Read" --group north
    """


# --- of one VEN ---------------------------------------------------------------------------------------


def _show_requests(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(found)
    print_table(
        None,
        ("Request", "Report", "Data points", "Samples", "Sent", "State", "Since", "Code"),
        (
            (
                r["report_request_id"], r["report_name"] or r["report_specifier_id"], r["r_ids"],
                _each(r["granularity"], "on change"), "once" if r["one_shot"] else _each(r["report_back"]),
                r["state"], r["changed_at"], r["response_code"],
            )
            for r in found["report_requests"]
        ),
    )  # fmt: skip


def _each(seconds: float, never: str = "") -> str:
    return f"each {seconds:g} s" if seconds else never


@report.command("list")
@click.argument("ven_id", type=ids.VEN)
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@json_option
def list_requests(ven_id: str, state: str | None, as_json: bool) -> None:
    """List the reports that a VEN was asked for."""
    path, query = ("vens", ven_id, "requests"), {"state": state}
    _show_requests(ask_all(*path, of="report_requests", query=query, backwards=True), as_json)


@report.command("request")
@click.argument("ven_id", type=ids.VEN)
@click.argument("report_specifier_id", required=False)
@click.option("--r-id", "r_ids", multiple=True, help="Only this data point; may be repeated.")
@click.option("--granularity", help='A sample each: "1m"; "0s" is on change.')
@click.option("--back", "report_back_duration", help='A report each: "5m"; if left out, a single one.')
@click.option("--start", "dtstart", help='From then on: "now", "+10m", "-1h", "2026-01-31T12:00:00Z".')
@click.option("--duration", help='For so long; "0s": endless, or all that there is.')
@click.option("--file", type=click.File(), help="Several requests as a JSON list, - for stdin.")
@dry_run_option
@json_option
def request(
    ven_id: str, report_specifier_id: str | None, file: IO[str] | None, dry_run: bool, as_json: bool, **options: Any
) -> None:
    """Ask a VEN for a report; "ven show" says what it offers.

    \b
      oadrvtn report request ven-1 SPECIFIER
      oadrvtn report request ven-1 SPECIFIER --granularity 1m --back 5m --r-id power
      oadrvtn report request ven-1 HISTORY --granularity 15m --start -1d --duration 1d
      oadrvtn report request ven-1 METADATA
    """
    if (report_specifier_id is None) == (file is None):
        raise click.UsageError("say which report, or give several by --file")
    if file:
        try:
            wanted = json.load(file)
        except ValueError as error:
            raise click.UsageError(f"--file: is not JSON: {error}") from error
    else:
        given = {name: value for name, value in options.items() if value}
        wanted = [{"report_specifier_id": report_specifier_id} | given]
    found = ask("POST", "vens", ven_id, "requests", body={"requests": wanted}, query=only_tried(dry_run))
    _show_requests(found, as_json)


@report.command("cancel")
@click.argument("ven_id", type=ids.VEN)
@click.argument("report_request_ids", type=ids.REQUEST, nargs=-1, required=True, metavar="REQUEST_ID...")
@click.option("--to-follow", is_flag=True, help="Have it send a last report of each.")
@dry_run_option
@json_option
def cancel(ven_id: str, report_request_ids: tuple[str, ...], to_follow: bool, dry_run: bool, as_json: bool) -> None:
    """Have a VEN stop reports."""
    body = {"report_request_ids": report_request_ids, "report_to_follow": to_follow}
    found = ask("POST", "vens", ven_id, "requests", "cancel", body=body, query=only_tried(dry_run))
    _show_requests(found, as_json)


@report.command("provided")
@click.argument("ven_id", type=ids.VEN)
@json_option
def provided(ven_id: str, as_json: bool) -> None:
    """List the reports of this VTN that a VEN asked for."""
    found = ask("GET", "vens", ven_id, "provided")
    if as_json:
        return print_json(found)
    print_table(
        None,
        ("Request", "Report", "State", "Asked", "Next", "Ends"),
        (
            (p["report_request_id"], p["report_specifier_id"], p["state"], p["created_at"], p["next_at"], p["ends_at"])
            for p in found["provided"]
        ),
    )


@report.command("gaps")
@click.argument("ven_id", type=ids.VEN)
@click.option("--since", help='From then on: "-1d", "2026-01-31T12:00:00Z".')
@click.option("--until", help="Before that.")
@json_option
def gaps(ven_id: str, since: str | None, until: str | None, as_json: bool) -> None:
    """List what is missing of a VEN's reports.

    Where the VEN offers its history, the VTN has asked for it already.
    """
    found = ask("GET", "vens", ven_id, "gaps", query={"since": since, "until": until})
    if as_json:
        return print_json(found)
    if not found["gaps"]:
        return click.echo("nothing is missing")
    rows = ((g["r_id"], g["start"], g["end"], g["missing"], g["report_request_id"]) for g in found["gaps"])
    print_table(None, ("Data point", "From", "Until", "Samples", "Request"), rows)


@report.command("states")
@click.argument("ven_id", type=ids.VEN)
@click.option("--since", help='What they were from then on: "-1d", "2026-01-31T12:00:00Z".')
@click.option("--until", help="What they were before that.")
@click.option("--r-id", help="Only of this data point.")
@json_option
def states(ven_id: str, since: str | None, until: str | None, r_id: str | None, as_json: bool) -> None:
    """Show in what state a VEN's resources are, or were (by its TELEMETRY_STATUS reports).

    \b
      oadrvtn report states ven-1
      oadrvtn report states ven-1 --since -1d
    """
    query = {"since": since, "until": until, "r_id": r_id}
    if any(query.values()):
        found = ask("GET", "vens", ven_id, "states", "history", query=query)
    else:
        found = ask("GET", "vens", ven_id, "states")
    if as_json:
        return print_json(found)
    print_table(
        None,
        ("Data point", "Resources", "Since", "Online", "Overridden", "Load control"),
        (
            (
                s["r_id"], s["resource_ids"], s["start"], s["online"], s["manual_override"],
                s["load_control_state"] and json.dumps(s["load_control_state"]),
            )
            for s in found["states"]
        ),
    )  # fmt: skip


# --- of all VENs --------------------------------------------------------------------------------------


@report.command("wishes")
@click.argument("wish_id", type=ids.WISH, required=False)
@json_option
def wishes(wish_id: str | None, as_json: bool) -> None:
    """List the readings that are wanted of every VEN that offers them: all wishes, or one."""
    found = {"wishes": [ask("GET", "wishes", wish_id)]} if wish_id else ask_all("wishes", of="wishes")
    if as_json:
        return print_json(found)
    own = ("wish_id", "source", "report_name", "granularity", "report_back_duration")
    print_table(
        None,
        ("Wish", "Made by", "Report", "Samples", "Sent", "Only"),
        (
            (
                w["wish_id"], w["source"], w["report_name"], _each(w["granularity"], "on change"),
                _each(w["report_back_duration"], "once"),
                [f"{name} {value}" for name, value in w.items() if name not in own and value is not None],
            )
            for w in found["wishes"]
        ),
    )  # fmt: skip


@report.command("want")
@click.argument("report_name")
@click.option("--reading-type", help="Only data points of this readingType.")
@click.option("--report-type", help="Only data points of this reportType.")
@click.option("--item-base", help="Only data points in this kind of unit, such as powerReal.")
@click.option("--r-id", help="Only the data point of this rID.")
@click.option("--resource", "resource_id", help="Only data points of this resource.")
@click.option("--group", "group_id", type=ids.GROUP, help="Only of the VENs of this group.")
@click.option("--market-context", type=ids.MARKET_CONTEXT, help="Only of this programme.")
@click.option("--granularity", help='A sample each: "1m"; "0s" is on change.')
@click.option("--back", "report_back_duration", help='A report each: "5m"; "0s" is a single one.')
@dry_run_option
@json_option
def want(report_name: str, dry_run: bool, as_json: bool, **options: str | None) -> None:
    """Want readings of every VEN that offers them, now and when it registers again.

    \b
      oadrvtn report want TELEMETRY_USAGE --granularity 1m --back 5m
    """
    body = {"report_name": report_name} | {name: value for name, value in options.items() if value is not None}
    made = ask("POST", "wishes", body=body, query=only_tried(dry_run))
    if as_json:
        return print_json(made)
    click.echo(printable(f"{made['wish_id']} is {'what it would be' if dry_run else 'made'}"))


@report.command("unwant")
@click.argument("wish_id", type=ids.WISH)
@trial_option
@json_option
def unwant(wish_id: str, as_json: bool) -> None:
    """Want readings no more; the VENs are told to stop."""
    ask("DELETE", "wishes", wish_id)
    if as_json:
        return print_json({"removed": wish_id})
    click.echo(printable(f"{wish_id} is removed"))
