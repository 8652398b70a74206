"""Events at the command line: ask VENs to act, and see what they answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import reduce
from typing import IO, Any

import click

from ..security.certificates import printable
from . import ids
from .screen import (
    ask,
    ask_all,
    cell,
    dry_run_option,
    json_option,
    only_tried,
    print_json,
    print_pairs,
    print_table,
    said,
)

MARKET_CONTEXT = "urn:oadrvtn:events"
"""The market context of an event for which the operator names none."""


@click.group()
def event() -> None:
    """Events: ask VENs to act, and see what they answer.

    \b
      oadrvtn event create --level 2 --duration 15m --start +10m
      oadrvtn event list
      oadrvtn event show EVENT_ID
      oadrvtn event cancel EVENT_ID
    """


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda command: reduce(lambda decorated, option: option(decorated), reversed(options), command)


_event_options = _options(
    click.option("--level", type=click.IntRange(0, 3), help="SIMPLE: 0 normal, 1 moderate, 2 high, 3 special."),
    click.option("--price", type=float, help="ELECTRICITY_PRICE, per kWh."),
    click.option("--duration", "--for", "duration", help='How long: "15m", "1h30m", "PT15M"; "0s" is open-ended.'),
    click.option("--start", "dtstart", help='When: "now", "+10m", "2026-01-31T12:00:00Z".'),
    click.option("--in", "delay", metavar="DURATION", help='In how long: "10m" is --start +10m.'),
    click.option("--market-context", type=ids.MARKET_CONTEXT, help="The URI of the programme it belongs to."),
    click.option("--ven", "ven_ids", type=ids.VEN, multiple=True, help="Only for this VEN; may be repeated."),
    click.option(
        "--group", "group_ids", type=ids.GROUP, multiple=True, help="For the VENs of this group; may be repeated."
    ),
    click.option("--resource", "resource_ids", multiple=True, help="For the VEN of this resource; may be repeated."),
    click.option("--target", "others", multiple=True, metavar="KIND=VALUE", help="Another target, as party_ids=north."),
    click.option("--priority", type=click.IntRange(0), help="1 is the highest, 0 none."),
    click.option("--test/--no-test", "test_event", default=None, help="An event that is only a test."),
    click.option("--comment", "vtn_comment", help="A text for the VENs' people."),
    click.option("--response", "response_required", type=click.Choice(["always", "never"]), help="Must VENs answer?"),
    click.option("--notification", help="How long before its start VENs should know of it."),
    click.option("--ramp-up", help="How long VENs take to get there."),
    click.option("--recovery", help="How long VENs take to get back."),
    click.option("--startafter", help="VENs delay start and end by a random time up to this."),
    click.option("--device-class", "device_classes", multiple=True, help="Only for these devices; may be repeated."),
    click.option("--file", type=click.File(), help="Fields as JSON, - for stdin; options count more."),
    click.option("--force", is_flag=True, help="Also what only convention forbids."),
    dry_run_option,
    json_option,
)
_PLAIN = (
    "dtstart", "market_context", "priority", "test_event", "vtn_comment", "response_required", "notification",
    "ramp_up", "recovery", "startafter",
)  # fmt: skip
_TARGETS = ("ven_ids", "group_ids", "resource_ids")
_SIGNALS = {"level": "SIMPLE", "price": "ELECTRICITY_PRICE"}


def _from_file(file: IO[str] | None) -> dict[str, Any]:
    try:
        fields = json.load(file) if file else {}
    except ValueError as error:
        raise click.UsageError(f"--file: is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise click.UsageError("--file: is not a JSON object")
    return fields


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an event that options name, but for its signals and their duration."""
    fields = {name: options[name] for name in _PLAIN if options[name] is not None}
    if options["delay"] is not None:
        if "dtstart" in fields:
            raise click.UsageError("--in and --start say the same: give one of them")
        fields["dtstart"] = f"+{options['delay']}"
    target = {name: list(options[name]) for name in _TARGETS if options[name]}
    for other in options["others"]:
        kind, equals, value = other.partition("=")
        if not equals:
            raise click.UsageError(f"--target: {other}: say KIND=VALUE, such as party_ids=north")
        target.setdefault(kind, []).append(value)
    return fields | ({"target": target} if target else {})


def _write(method: str, *path: str, dry_run: bool, as_json: bool, **more: Any) -> dict[str, Any] | None:
    """Ask for a change of an event; None where all was told: what a dry run finds, or JSON."""
    query = only_tried(dry_run) | more.pop("query", {})
    made: dict[str, Any] = ask(method, *path, query=query, **more)
    if as_json:
        print_json(made)
    elif dry_run:
        click.echo(f"nothing is done; it would be at modification {made['modification_number']}: {_summary(made)}")
        rows = ((told["ven_id"], told["what"], told["modification_number"]) for told in made["told"])
        print_table("What the VENs would be told", ("VEN", "It is", "Modification"), rows)
    else:
        return made
    return None


@event.command("create")
@click.option("--event-id", help="An ID of your own; one is made if left out.")
@click.option("--currency", help="Of the price; EUR if left out.")
@_event_options
def create_event(
    event_id: str | None,
    currency: str | None,
    file: IO[str] | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Make an event; without a target it is for every registered VEN of its market context.

    \b
      oadrvtn event create --level 2
      oadrvtn event create --level 2 --in 10m --for 1h --group north
      oadrvtn event create --level 2 --duration 15m --start +10m --ven ven-1 --ven ven-2
      oadrvtn event create --level 1 --group north --target party_ids=cold-store --dry-run
      oadrvtn event create --price 0.35 --duration 1h --start 2026-01-31T17:00:00Z
      oadrvtn event create --file event.json

    What is left out: it starts now, for 15 minutes.  A file holds anything an event can have; only there are
    several signals, several intervals, and a baseline:

    \b
      {"dtstart": "+1h", "market_context": "http://example.com/dr",
       "signals": [{"signal_name": "LOAD_DISPATCH", "signal_type": "setpoint",
                    "intervals": [{"duration": "PT15M", "value": 40}, {"duration": "PT15M", "value": 20}],
                    "item_base": {"name": "powerReal", "item_units": "W", "si_scale_code": "k",
                                  "power_attributes": {"hertz": 50, "voltage": 230, "ac": true}}}],
       "target": {"ven_ids": ["ven-1"]}}
    """
    body = {"dtstart": "now", "market_context": MARKET_CONTEXT} | _from_file(file) | _given(options)
    if event_id:
        body["event_id"] = event_id
    length = options["duration"] or "15m"
    signals: list[dict[str, Any]] = [
        {"signal_name": name, "intervals": [{"duration": length, "value": options[option]}]}
        for option, name in _SIGNALS.items()
        if options[option] is not None
    ]
    for signal in signals:
        if signal["signal_name"] == _SIGNALS["price"]:
            per_kwh = {"name": "currencyPerKWh", "item_description": "currencyPerKWh", "item_units": currency or "EUR"}
            signal |= {"signal_type": "price", "item_base": per_kwh}
    if signals:
        body["signals"] = [signal | _devices(options) for signal in signals]
    elif options["duration"]:
        body["duration"] = options["duration"]
    if not signals and not file:
        raise click.UsageError("say what the VENs are to do: --level 2, --price 0.35 or --file event.json")
    if currency and options["price"] is None:
        raise click.UsageError("--currency is that of --price")
    if options["device_classes"] and not signals:
        if not _are_signals(body.get("signals")):
            raise click.UsageError("--device-class is for signals: of --level, of --price or of the --file")
        body["signals"] = [signal | _devices(options) for signal in body["signals"]]
    made = _write("POST", "events", body=body, query=_force(force), dry_run=dry_run, as_json=as_json)
    if made:
        click.echo(printable(f"event {made['event_id']} is made: {_summary(made)}"))


def _devices(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"device_classes": options["device_classes"]} if options["device_classes"] else {}


def _force(force: bool) -> dict[str, Any]:
    return {"force": "1" if force else None}


@event.command("modify")
@click.argument("event_id", type=ids.EVENT)
@click.option("--reason", "modification_reason", help="A text for the VENs' people.")
@_event_options
def modify_event(
    event_id: str,
    modification_reason: str | None,
    file: IO[str] | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Change an event; VENs are shown it again and answer anew.

    \b
      oadrvtn event modify EVENT_ID --level 1
      oadrvtn event modify EVENT_ID --start +30m --duration 20m --reason "later, longer"
    """
    before = ask("GET", "events", event_id)
    changes = _from_file(file) | _given(options)
    if isinstance(changes.get("target"), dict):
        changes["target"] = before["target"] | changes["target"]
    if options["device_classes"] or any(options[option] is not None for option in ("duration", *_SIGNALS)):
        signals = changes.get("signals", before["signals"])
        if _are_signals(signals):  # else the VTN says what they are not
            changes["signals"] = _changed_signals(signals, options)
    if not changes:
        raise click.UsageError("say what is to be different, such as --level 1")
    if modification_reason:
        changes["modification_reason"] = modification_reason
    # What somebody else changed since we looked is not overwritten.
    number = {"modification_number": before["modification_number"]}
    body = number | changes
    made = _write("PATCH", "events", event_id, body=body, query=_force(force), dry_run=dry_run, as_json=as_json)
    if made:
        number_now = made["modification_number"]
        click.echo(printable(f"event {event_id} is now at modification {number_now}: {_summary(made)}"))


def _are_signals(found: Any) -> bool:
    """Whether that has the form of signals, as far as options change it."""
    return isinstance(found, list) and all(
        isinstance(signal, dict)
        and isinstance(signal.get("intervals"), list)
        and signal["intervals"]
        and all(isinstance(interval, dict) for interval in signal["intervals"])
        for signal in found
    )


def _changed_signals(signals: list[dict[str, Any]], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The signals of an event with other values or another length."""
    for option, name in _SIGNALS.items():
        chosen = [signal for signal in signals if signal.get("signal_name", _SIGNALS["level"]) == name]
        if options[option] is not None:
            if not chosen:
                raise click.ClickException(f"--{option}: the event has no signal {name}; give its signals by --file")
            for interval in chosen[0]["intervals"]:
                interval["value"] = options[option]
    if options["duration"]:
        if any(len(signal["intervals"]) > 1 for signal in signals):
            raise click.ClickException("--duration: the event has several intervals; give its signals by --file")
        for signal in signals:
            signal["intervals"][0]["duration"] = options["duration"]
    return [signal | _devices(options) for signal in signals]


@event.command("cancel")
@click.argument("event_id", type=ids.EVENT)
@click.option("--reason", help="A text for the VENs' people.")
@dry_run_option
@json_option
def cancel_event(event_id: str, reason: str | None, dry_run: bool, as_json: bool) -> None:
    """Cancel an event for everybody; it is shown as cancelled until that has arrived."""
    body = {"reason": reason} if reason else {}
    if _write("POST", "events", event_id, "cancel", body=body, dry_run=dry_run, as_json=as_json):
        click.echo(printable(f"event {event_id} is cancelled"))


@event.command("delete")
@click.argument("event_id", type=ids.EVENT)
@dry_run_option
@json_option
def delete_event(event_id: str, dry_run: bool, as_json: bool) -> None:
    """Take an event away from everybody without a word: the implied cancellation.

    VENs are not asked whether they know.  To tell them, cancel it.
    """
    if _write("DELETE", "events", event_id, dry_run=dry_run, as_json=as_json):
        click.echo(printable(f"event {event_id} is deleted"))


def _signals(row: Mapping[str, Any]) -> str:
    """What an event asks for: ``SIMPLE level 2, 1``."""
    return "; ".join(
        f"{signal['signal_name']} {signal['signal_type']} {', '.join(_value(i) for i in signal['intervals'])}"
        for signal in row["signals"]
    )


def _target(row: Mapping[str, Any]) -> list[str]:
    """Whom an event is for: ``ven ven-1, ven-2``."""
    return [
        f"{kind.replace('_', ' ').removesuffix(' ids')} {cell([_name(each) for each in named])}"
        for kind, named in row["target"].items()
    ]


def _name(named: Any) -> str:
    return named if isinstance(named, str) else json.dumps(named)


def _value(interval: Mapping[str, Any]) -> str:
    return "?" if interval["value"] is None else f"{interval['value']:g}"


def _answers(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(row["answers"].items())) or "no VENs"


def _summary(row: Mapping[str, Any]) -> str:
    return f"{_signals(row)}, {row['status']}, from {row['dtstart']} for {row['duration']}; {_answers(row)}"


@event.command("list")
@click.option("--all", "all_of_them", is_flag=True, help="Also those that are over.")
@click.option("--status", type=click.Choice(("far", "near", "active", "completed", "cancelled")), help="Only these.")
@click.option("--market-context", type=ids.MARKET_CONTEXT, help="Only of this one.")
@click.option("--ven", "ven_id", type=ids.VEN, help="Only those that concern this VEN.")
@click.option("--group", "group_id", type=ids.GROUP, help="Only those that concern VENs of this group.")
@click.option("--since", help="Only those that are not over by then.")
@click.option("--until", help="Only those that begin before that.")
@json_option
def list_events(all_of_them: bool, as_json: bool, **wanted: str | None) -> None:
    """List the events that VENs are shown, or all.

    \b
      oadrvtn event list --status active
      oadrvtn event list --all --ven ven-1 --since 2026-01-01T00:00:00Z
    """
    found = ask_all("events", of="events", backwards=True, query={"all": "1" if all_of_them else None, **wanted})
    if as_json:
        return print_json(found)
    columns = ("Event", "Status", "Start", "Duration", "Signals", "For", "Answers")
    print_table(
        None,
        columns,
        (
            (
                row["event_id"], row["status"], row["dtstart"], row["duration"], _signals(row),
                _target(row) or "everybody", _answers(row),
            )
            for row in found["events"]
        ),
    )  # fmt: skip


@event.command("show")
@click.argument("event_id", type=ids.EVENT)
@json_option
def show_event(event_id: str, as_json: bool) -> None:
    """Show all about an event, with what every VEN was told and answered."""
    found = ask("GET", "events", event_id)
    if as_json:
        return print_json(found)
    print_pairs(
        {
            "Event": found["event_id"],
            "Status": found["status"],
            "Modification": found["modification_number"],
            "Reason": found["modification_reason"],
            "Start": found["dtstart"],
            "Duration": found["duration"],
            "Signals": _signals(found),
            "Market context": found["market_context"],
            "Target": _target(found) or "everybody",
            "Priority": found["priority"],
            "Test": found["test_event"],
            "Comment": found["vtn_comment"],
            "Answers": f"{_answers(found)} (response required: {found['response_required']})",
        }
    )
    print_table(
        "What each VEN was told of this modification, and answered",
        ("VEN", "State", "Opt", "Offers", "Last offered", "Answered", "Code", "Description"),
        (
            (
                line["ven_id"], *said(line), line["offers"], line["last_offered"], line["answered_at"],
                line["response_code"], line["response_description"],
            )
            for line in found["ledger"]
            if line["modification_number"] == found["modification_number"]
        ),
    )  # fmt: skip
    print_table(
        "What VENs said by oadrCreateOpt",
        ("Received", "VEN", "Opt", "Reason", "Only for"),
        (
            (o["received_at"], o["ven_id"], o["opt_type"], o["opt_reason"], o["resource_ids"] + o["device_classes"])
            for o in found["opts"]
        ),
    )
    print_table(
        "All answers, in their order",
        ("Received", "VEN", "Modification", "Opt", "Code", "Description"),
        (
            (
                answer["received_at"], answer["ven_id"], answer["modification_number"], answer["opt_type"],
                answer["response_code"], answer["response_description"],
            )
            for answer in found["history"]
        ),
    )  # fmt: skip
