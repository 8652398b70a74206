"""The command line ``oadrvtn``: asks and tells a running VTN through its API; makes configurations and certificates."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import IO, Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from .console.client import ApiError, Client, find_config
from .model.config import ConfigError, example, load
from .security import certificates, fingerprint
from .security.certificates import CertificateFileError, printable

MARKET_CONTEXT = "urn:oadrvtn:events"
"""The market context of an event for which the operator names none."""

_MISTAKES = (ApiError, ConfigError, CertificateFileError)


class _Oadrvtn(click.Group):
    """What goes wrong is one line on stderr, and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _MISTAKES as error:
            raise click.ClickException(printable("; ".join(str(error).splitlines()))) from error


def _ask(method: str, *path: str, **more: Any) -> Any:
    """Ask the VTN that --config means."""
    root = click.get_current_context().find_root()
    if root.obj is None:
        root.obj = Client.of(load(find_config(root.params["config"])))
    return root.obj.call(method, *path, **more)


# --- what is shown ------------------------------------------------------------------------------------


_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z")


def _cell(value: Any) -> str:
    """A value for people: without markup, escape sequences, and fractions of a second."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return "" if value is None else printable(_INSTANT.sub(r"\1Z", str(value)))


def _print(table: Table) -> None:
    # Names come from the wire: no markup.  What goes into a pipe is not cut at 80 columns.
    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)


def _print_table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; one with a title stands apart from what is before it, or is left out where it has no rows."""
    table = Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)
    for row in rows:
        table.add_row(*map(_cell, row))
    if title and table.row_count:
        click.echo()
    if not title or table.row_count:
        _print(table)


def _print_pairs(pairs: Mapping[str, Any]) -> None:
    table = Table.grid(padding=(0, 3))
    for name, value in pairs.items():
        if value not in (None, "", [], ()):
            table.add_row(name, _cell(value))
    _print(table)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


_as_json = click.option("--json", "as_json", is_flag=True, help="Print what the API says, for programs.")

_SPAN = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def _span(seconds: int) -> str:
    """The two largest units: ``3 h 5 min``."""
    parts = []
    for size, unit in _SPAN:
        number, seconds = divmod(seconds, size)
        parts.append(f"{number} {unit}")
    first = next((index for index, part in enumerate(parts) if not part.startswith("0")), len(parts) - 1)
    return " ".join(parts[first : first + 2])


# --- oadrvtn ------------------------------------------------------------------------------------------


@click.group("oadrvtn", cls=_Oadrvtn, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "-c", metavar="FILE", help="The VTN's configuration.")
@click.version_option(package_name="oadrvtn", message="oadrvtn %(version)s")
def main(config: str | None) -> None:
    """Operate an OpenADR 2.0b VTN.

    The VTN itself runs under twistd; try it with three simulated VENs:

    \b
      twistd -n oadrvtn --demo
      oadrvtn status
      oadrvtn event create --level 2 --duration 15m --start +1m
      oadrvtn ven list
      oadrvtn readings house --since -10m

    Your own:

    \b
      oadrvtn init vtn.toml
      oadrvtn certs init --name vtn.example.org
      twistd -n oadrvtn --config vtn.toml

    Which VTN is asked: --config, else $OADRVTN_CONFIG, else ./vtn.toml, else the demonstration.
    """


@main.command()
@_as_json
def status(as_json: bool) -> None:
    """Show how the VTN is, and how much there is of everything."""
    found = _ask("GET", "status")
    if as_json:
        return _print_json(found)
    _print_pairs(
        {
            "VTN": f"{found['vtn_id']}, version {found['version']}, up {_span(found['uptime'])}",
            "VENs": f"{found['vens']} known, {found['vens_registered']} registered, {found['vens_online']} online, "
            f"{found['vens_waiting']} waiting for approval",
            "Events": f"{found['events']} stored, {found['events_current']} current",
            "Reports": f"{found['report_requests']} running",
            "Readings": found["readings"],
        }
    )


@main.command()
@click.argument("file", default="vtn.toml", type=click.Path(path_type=Path))
def init(file: Path) -> None:
    """Write a configuration to start from; every key is explained in it.

    FILE is vtn.toml if left out; a file that exists is not overwritten.
    """
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(example())
    except FileExistsError as error:
        raise click.ClickException(f"{file} exists already and is not overwritten") from error
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    click.echo(f"{file} is written.  It wants certificates in certs/ beside it: your own, or for trying\n")
    click.echo(f"  oadrvtn certs init --directory {file.parent / 'certs'} --name HOST  # as VENs call it")
    click.echo(f"  twistd -n oadrvtn --config {file}")


# --- VENs ---------------------------------------------------------------------------------------------


@main.group()
def ven() -> None:
    """VENs: who may come in, who is there, what they can do.

    \b
      oadrvtn ven list
      oadrvtn ven add ven-1 --certificate ven-1.crt
      oadrvtn ven show ven-1
    """


def _state(row: Mapping[str, Any]) -> str:
    if not row["registered"]:
        return "not registered"
    return "online" if row["online"] else "offline"


@ven.command("list")
@_as_json
def list_vens(as_json: bool) -> None:
    """List the VENs that are known."""
    found = _ask("GET", "vens")
    if as_json:
        return _print_json(found)
    columns = ("VEN", "Name", "State", "Last seen", "Registered", "Added by")
    rows = found["vens"]
    _print_table(
        None,
        columns,
        ((r["ven_id"], r["name"], _state(r), r["last_seen"], r["registered_at"], r["source"]) for r in rows),
    )


_MOST_POINTS = 50


@ven.command("show")
@click.argument("ven_id")
@_as_json
def show_ven(ven_id: str, as_json: bool) -> None:
    """Show all about a VEN: certificates, reports, events, what waits for it."""
    _show_ven(_ask("GET", "vens", ven_id), as_json)


def _show_ven(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return _print_json(found)
    _print_pairs(
        {
            "VEN": found["ven_id"],
            "Name": found["name"],
            "Calls itself": found["ven_name"],
            "State": _state(found),
            "Last seen": found["last_seen"],
            "Registered": found["registered_at"],
            "Registration ID": found["registration_id"],
            "Polls each": f"{found['poll_frequency']:g} s",
            "Added by": found["source"],
            "Fingerprints": [known["fingerprint"] for known in found["fingerprints"]],
            "Bends": [f"{name} ({count})" for name, count in found["bends"].items()],
        }
    )
    points = [
        (report["report_name"], point["r_id"], point["report_type"], point["reading_type"], point["unit"])
        for report in (found["capabilities"] or {"reports": []})["reports"]
        for point in report["data_points"]
    ]
    _print_table("What it can report", ("Report", "Data point", "Type", "Reading", "Unit"), points[:_MOST_POINTS])
    if len(points) > _MOST_POINTS:
        click.echo(f" ... and {len(points) - _MOST_POINTS} more: --json has them all")
    _print_table(
        "What it was asked to report",
        ("Request", "Report", "State", "Since", "Code"),
        (
            (r["report_request_id"], r["report_name"], r["state"], r["changed_at"], r["response_code"])
            for r in found["report_requests"]
        ),
    )
    _print_table(
        "Events",
        ("Event", "Modification", "State", "Opt", "Offers", "Answered", "Code"),
        (
            (e["event_id"], e["modification_number"], *_said(e), e["offers"], e["answered_at"], e["response_code"])
            for e in found["ledger"]
        ),
    )
    _print_table(
        "Opts", ("Opt", "Type", "Event", "Since"),
        ((o["opt_id"], o["opt_type"], o["event_id"] or "schedule", o["received_at"]) for o in found["opts"]),
    )  # fmt: skip
    _print_table(
        "What it is told, the newest first",
        ("Kind", "State", "Offers", "Queued", "Closed", "Code"),
        (
            (e["kind"], e["state"], e["offers"], e["queued_at"], e["closed_at"], e["response_code"])
            for e in found["outbox"]
        ),
    )


def _said(line: Mapping[str, Any]) -> tuple[str, str | None]:
    return f"{line['state']}, withdrawn" if line["withdrawn"] else line["state"], line["opt_type"]


def _certificate_fingerprint(file: Path) -> str:
    """The whole fingerprint of the first certificate in a file."""
    return certificates.describe(certificates.load_certificates(file)[0]).sha256


_certificate_files = click.option(
    "--certificate", "files", multiple=True, type=click.Path(path_type=Path),
    help="Its certificate (PEM), from which the fingerprint is taken.",
)  # fmt: skip


@ven.command("add")
@click.argument("ven_id")
@click.option("--fingerprint", "known", multiple=True, metavar="AA:BB:...", help="SHA-256, whole or its last 10 bytes.")
@_certificate_files
@click.option("--name", help="A name for people.")
@_as_json
def add_ven(ven_id: str, known: tuple[str, ...], files: tuple[Path, ...], name: str | None, as_json: bool) -> None:
    """Let a VEN in, known by one or two certificates.

    \b
      oadrvtn ven add ven-1 --certificate ven-1.crt --name "Cold store"
      oadrvtn ven add ven-2 --fingerprint AA:BB:CC:DD:EE:FF:00:11:22:33
    """
    fingerprints = [*known, *map(_certificate_fingerprint, files)]
    if not fingerprints:
        raise click.UsageError("say by which certificate it is known: --certificate FILE or --fingerprint AA:BB:...")
    body = {"ven_id": ven_id, "fingerprints": fingerprints} | ({"name": name} if name else {})
    _show_ven(_ask("POST", "vens", body=body), as_json)


@ven.command("fingerprints")
@click.argument("ven_id")
@click.argument("known", nargs=-1, metavar="[FINGERPRINT]...")
@_certificate_files
@_as_json
def fingerprints(ven_id: str, known: tuple[str, ...], files: tuple[Path, ...], as_json: bool) -> None:
    """Show the certificates that a VEN is known by, or set them.

    While a VEN changes its certificate it may be known by two, the old and the new:

    \b
      oadrvtn ven fingerprints ven-1 --certificate old.crt --certificate new.crt
      oadrvtn ven fingerprints ven-1 --certificate new.crt
    """
    wanted = [*known, *map(_certificate_fingerprint, files)]
    if wanted:
        found = _ask("PATCH", "vens", ven_id, body={"fingerprints": wanted})
    else:
        found = _ask("GET", "vens", ven_id)
    if as_json:
        return _print_json(found["fingerprints"])
    columns = ("Fingerprint", "SHA-256")
    _print_table(None, columns, ((known["fingerprint"], known["sha256"]) for known in found["fingerprints"]))


@ven.command("waiting")
@_as_json
def waiting(as_json: bool) -> None:
    """List the certificates that wait for approval (registration.policy = "approve")."""
    found = _ask("GET", "candidates")
    if as_json:
        return _print_json(found)
    columns = ("Fingerprint", "Subject", "Says it is", "Calls itself", "First seen", "Last seen")
    rows = found["candidates"]
    _print_table(
        None,
        columns,
        ([r[key] for key in ("fingerprint", "subject", "ven_id", "ven_name", "first_seen", "last_seen")] for r in rows),
    )


@ven.command("approve")
@click.argument("known", metavar="FINGERPRINT")
@click.option("--ven-id", help="The venID it gets; if left out the one that it says it is, else a new one.")
@click.option("--name", help="A name for people.")
@_as_json
def approve(known: str, ven_id: str | None, name: str | None, as_json: bool) -> None:
    """Let in a certificate that waits.

    \b
      oadrvtn ven waiting
      oadrvtn ven approve AA:BB:CC:DD:EE:FF:00:11:22:33 --ven-id ven-7
    """
    body = {key: value for key, value in {"ven_id": ven_id, "name": name}.items() if value}
    _show_ven(_ask("POST", "candidates", known, "approve", body=body), as_json)


@ven.command("remove")
@click.argument("ven_id")
@click.confirmation_option(prompt="This forgets the VEN with its readings and answers.  Go on?")
@_as_json
def remove(ven_id: str, as_json: bool) -> None:
    """Forget a VEN, its readings and its answers."""
    _ask("DELETE", "vens", ven_id)
    if as_json:
        return _print_json({"removed": ven_id})
    click.echo(printable(f"{ven_id} is removed"))


@ven.command("reregister")
@click.argument("ven_id")
@_as_json
def reregister(ven_id: str, as_json: bool) -> None:
    """Ask a VEN to register again; it hears of it at its next poll."""
    found = _ask("POST", "vens", ven_id, "request-reregistration")
    if as_json:
        return _print_json(found)
    click.echo(printable(f"{ven_id} will be asked to register again"))


@ven.command("cancel-registration")
@click.argument("ven_id")
@_as_json
def cancel_registration(ven_id: str, as_json: bool) -> None:
    """End a VEN's registration; it hears of it at its next poll."""
    found = _ask("POST", "vens", ven_id, "cancel-registration")
    if as_json:
        return _print_json(found)
    click.echo(printable(f"{ven_id} will be told that its registration ends"))


# --- events -------------------------------------------------------------------------------------------


@main.group()
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
    click.option("--duration", help='How long: "15m", "1h30m", "PT15M"; "0s" is open-ended.'),
    click.option("--start", "dtstart", help='When: "now", "+10m", "2026-01-31T12:00:00Z".'),
    click.option("--market-context", help="The URI of the programme it belongs to."),
    click.option("--ven", "ven_ids", multiple=True, help="Only for this VEN; may be repeated."),
    click.option("--group", "group_ids", multiple=True, help="A groupID as target; may be repeated."),
    click.option("--resource", "resource_ids", multiple=True, help="A resourceID as target; may be repeated."),
    click.option("--priority", type=click.IntRange(0), help="1 is the highest, 0 none."),
    click.option("--test/--no-test", "test_event", default=None, help="An event that is only a test."),
    click.option("--comment", "vtn_comment", help="A text for the VENs' people."),
    click.option("--response", "response_required", type=click.Choice(["always", "never"]), help="Must VENs answer?"),
    click.option("--notification", help="How long before its start VENs should know of it."),
    click.option("--ramp-up", help="How long VENs take to get there."),
    click.option("--recovery", help="How long VENs take to get back."),
    click.option("--startafter", help="VENs delay start and end by a random time up to this."),
    click.option("--file", type=click.File(), help="Fields as JSON, - for stdin; options count more."),
    _as_json,
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
    if target := {name: list(options[name]) for name in _TARGETS if options[name]}:
        fields["target"] = target
    return fields


@event.command("create")
@click.option("--event-id", help="An ID of your own; one is made if left out.")
@click.option("--currency", default="EUR", show_default=True, help="Of the price.")
@_event_options
def create_event(event_id: str | None, currency: str, file: IO[str] | None, as_json: bool, **options: Any) -> None:
    """Make an event; without --ven it is for every registered VEN.

    \b
      oadrvtn event create --level 2
      oadrvtn event create --level 2 --duration 15m --start +10m --ven ven-1 --ven ven-2
      oadrvtn event create --price 0.35 --duration 1h --start 2026-01-31T17:00:00Z
      oadrvtn event create --file event.json

    What is left out: it starts now, for 15 minutes.  A file holds anything an event can have:

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
            per_kwh = {"name": "currencyPerKWh", "item_description": "currencyPerKWh", "item_units": currency}
            signal |= {"signal_type": "price", "item_base": per_kwh}
    if signals:
        body["signals"] = signals
    elif options["duration"]:
        body["duration"] = options["duration"]
    if not signals and not file:
        raise click.UsageError("say what the VENs are to do: --level 2, --price 0.35 or --file event.json")
    made = _ask("POST", "events", body=body)
    if as_json:
        return _print_json(made)
    click.echo(printable(f"event {made['event_id']} is made: {_summary(made)}"))


@event.command("modify")
@click.argument("event_id")
@click.option("--reason", "modification_reason", help="A text for the VENs' people.")
@_event_options
def modify_event(
    event_id: str, modification_reason: str | None, file: IO[str] | None, as_json: bool, **options: Any
) -> None:
    """Change an event; VENs are shown it again and answer anew.

    \b
      oadrvtn event modify EVENT_ID --level 1
      oadrvtn event modify EVENT_ID --start +30m --duration 20m --reason "later, longer"
    """
    before = _ask("GET", "events", event_id)
    changes = _from_file(file) | _given(options)
    if "target" in changes:
        changes["target"] = before["target"] | changes["target"]
    if any(options[option] is not None for option in ("duration", *_SIGNALS)):
        changes["signals"] = _changed_signals(before["signals"], options)
    if not changes:
        raise click.UsageError("say what is to be different, such as --level 1")
    if modification_reason:
        changes["modification_reason"] = modification_reason
    # What somebody else changed since we looked is not overwritten.
    number = {"modification_number": before["modification_number"]}
    made = _ask("PATCH", "events", event_id, body=number | changes)
    if as_json:
        return _print_json(made)
    click.echo(printable(f"event {event_id} is now at modification {made['modification_number']}: {_summary(made)}"))


def _changed_signals(signals: list[dict[str, Any]], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The signals of an event with other values or another length."""
    for option, name in _SIGNALS.items():
        chosen = [signal for signal in signals if signal["signal_name"] == name]
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
    return signals


@event.command("cancel")
@click.argument("event_id")
@click.option("--reason", help="A text for the VENs' people.")
@_as_json
def cancel_event(event_id: str, reason: str | None, as_json: bool) -> None:
    """Cancel an event for everybody."""
    made = _ask("POST", "events", event_id, "cancel", body={"reason": reason} if reason else {})
    if as_json:
        return _print_json(made)
    click.echo(printable(f"event {event_id} is cancelled"))


def _signals(row: Mapping[str, Any]) -> str:
    """What an event asks for: ``SIMPLE level 2, 1``."""
    return "; ".join(
        f"{signal['signal_name']} {signal['signal_type']} {', '.join(_value(i) for i in signal['intervals'])}"
        for signal in row["signals"]
    )


def _value(interval: Mapping[str, Any]) -> str:
    return "?" if interval["value"] is None else f"{interval['value']:g}"


def _answers(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(row["answers"].items())) or "no VENs"


def _summary(row: Mapping[str, Any]) -> str:
    return f"{_signals(row)}, {row['status']}, from {row['dtstart']} for {row['duration']}; {_answers(row)}"


@event.command("list")
@click.option("--all", "all_of_them", is_flag=True, help="Also those that are over.")
@_as_json
def list_events(all_of_them: bool, as_json: bool) -> None:
    """List the events that VENs are shown, or all."""
    found = _ask("GET", "events", query={"all": "1" if all_of_them else None})
    if as_json:
        return _print_json(found)
    columns = ("Event", "Status", "Start", "Duration", "Signals", "For", "Answers")
    _print_table(
        None,
        columns,
        (
            (
                row["event_id"], row["status"], row["dtstart"], row["duration"], _signals(row),
                row["target"].get("ven_ids", "everybody"), _answers(row),
            )
            for row in found["events"]
        ),
    )  # fmt: skip


@event.command("show")
@click.argument("event_id")
@_as_json
def show_event(event_id: str, as_json: bool) -> None:
    """Show all about an event, with what every VEN was told and answered."""
    found = _ask("GET", "events", event_id)
    if as_json:
        return _print_json(found)
    _print_pairs(
        {
            "Event": found["event_id"],
            "Status": found["status"],
            "Modification": found["modification_number"],
            "Reason": found["modification_reason"],
            "Start": found["dtstart"],
            "Duration": found["duration"],
            "Signals": _signals(found),
            "Market context": found["market_context"],
            "Target": [f"{kind} {_cell(ids)}" for kind, ids in found["target"].items()] or "everybody",
            "Priority": found["priority"],
            "Test": found["test_event"],
            "Comment": found["vtn_comment"],
            "Answers": f"{_answers(found)} (response required: {found['response_required']})",
        }
    )
    _print_table(
        "What each VEN was told of this modification, and answered",
        ("VEN", "State", "Opt", "Offers", "Last offered", "Answered", "Code", "Description"),
        (
            (
                line["ven_id"], *_said(line), line["offers"], line["last_offered"], line["answered_at"],
                line["response_code"], line["response_description"],
            )
            for line in found["ledger"]
            if line["modification_number"] == found["modification_number"]
        ),
    )  # fmt: skip
    _print_table(
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


# --- readings -----------------------------------------------------------------------------------------

_SCREENFUL = 100


@main.command()
@click.argument("ven_id")
@click.option("--since", help='Readings from then on: "-1h", "2026-01-31T12:00:00Z".')
@click.option("--until", help="Readings before that.")
@click.option("--r-id", help="Only of this data point.")
@click.option("--limit", type=click.IntRange(1), help=f"The newest so many; {_SCREENFUL}, or 10000 for a program.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, with all columns.")
@_as_json
def readings(
    ven_id: str, since: str | None, until: str | None, r_id: str | None, limit: int | None, as_csv: bool, as_json: bool
) -> None:
    """Show what a VEN has measured.

    \b
      oadrvtn readings ven-1 --since -1h
      oadrvtn readings ven-1 --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --csv > january.csv
    """
    if as_csv and as_json:
        raise click.UsageError("choose one of --csv and --json")
    limit = limit or (10_000 if as_csv or as_json else _SCREENFUL)
    query = {"since": since, "until": until, "r_id": r_id, "limit": limit, "format": "csv" if as_csv else None}
    found = _ask("GET", "vens", ven_id, "readings", query=query)
    if as_csv:
        click.echo(found, nl=False)
        truncated = found.count("\n") > limit
    else:
        truncated = found["truncated"]
    if as_json:
        _print_json(found)
    elif not as_csv and not found["readings"]:
        click.echo("nothing was measured in this time")
    elif not as_csv:
        _print_table(
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
    return reading["payload"] if reading["value"] is None else f"{reading['value']:g}"


# --- certificates -------------------------------------------------------------------------------------


@main.group()
def certs() -> None:
    """Certificates: make some for trying, look into any.

    \b
      oadrvtn certs init --name vtn.example.org
      oadrvtn certs issue ven-1
      oadrvtn certs fingerprint certs/ven-1.crt
    """


_directory = click.option(
    "--directory", default="certs", show_default=True, type=click.Path(path_type=Path), help="Where they are."
)


@certs.command("init")
@_directory
@click.option("--name", "names", multiple=True, help="A host name or address of the VTN; may be repeated.")
def init_certs(directory: Path, names: tuple[str, ...]) -> None:
    """Make an authority, and an EC and an RSA certificate for the VTN.

    Without --name they are good for localhost.
    """
    certificates.init(directory, *([names] if names else []))
    click.echo(f"{directory} holds an authority (ca) and the VTN's certificates (vtn-ec, vtn-rsa).  For a VEN:\n")
    click.echo(f"  oadrvtn certs issue ven-1 --directory {directory}")


@certs.command("issue")
@click.argument("name")
@click.option("--rsa", is_flag=True, help="An RSA key instead of an EC one, for VENs that know no other.")
@_directory
def issue(name: str, rsa: bool, directory: Path) -> None:
    """Issue a certificate for a VEN, as NAME.crt with NAME.key."""
    try:
        credential = certificates.issue(directory, name, rsa)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    file = directory / f"{name}.crt"
    short = fingerprint.show(fingerprint.short(credential.fingerprint))
    click.echo(f"{file} is written, and its key beside it; fingerprint {short}.  To let it in:\n")
    click.echo(f"  oadrvtn ven add {name} --certificate {file}")


_file = click.argument("file", type=click.Path(path_type=Path))


@certs.command("fingerprint")
@_file
@click.option("--full", is_flag=True, help="The whole SHA-256 instead of its last 10 bytes.")
def show_fingerprint(file: Path, full: bool) -> None:
    """Print the fingerprint of a certificate, by which OpenADR knows it."""
    described = certificates.describe(certificates.load_certificates(file)[0])
    click.echo(described.sha256 if full else described.fingerprint)


@certs.command("show")
@_file
@_as_json
def show_certificates(file: Path, as_json: bool) -> None:
    """Show what is in each certificate of a file."""
    found = [certificates.describe(certificate) for certificate in certificates.load_certificates(file)]
    shown = [
        {
            "subject": each.subject,
            "issuer": each.issuer,
            "authority": each.is_authority,
            "names": list(each.names),
            "key": each.key,
            "valid_from": each.not_before.isoformat(),
            "valid_to": each.not_after.isoformat(),
            "fingerprint": each.fingerprint,
            "sha256": each.sha256,
        }
        for each in found
    ]
    if as_json:
        return _print_json(shown)
    for pairs in shown:
        _print_pairs({name.replace("_", " ").capitalize(): value for name, value in pairs.items()})
        click.echo()
