"""VENs at the command line: who may come in, who is there, what they can do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from ..console.client import ApiError, File
from ..console.files import MOST_TOLD, write_csv
from ..security import certificates
from ..security.certificates import printable
from ..vtn.audience import KINDS
from . import ids
from .screen import (
    ask,
    ask_all,
    consent_option,
    dry_run_option,
    json_option,
    only_tried,
    print_json,
    print_pairs,
    print_table,
    progress,
    said,
    trial_option,
)


@click.group()
def ven() -> None:
    """VENs: who may come in, who is there, what they can do.

    \b
      oadrvtn ven list
      oadrvtn ven add ven-1 --certificate ven-1.crt
      oadrvtn ven show ven-1
    """


def _state(row: Mapping[str, Any]) -> str:
    if row["suspended_at"]:
        return "suspended"
    if not row["registered"]:
        return "not registered"
    return "online" if row["online"] else "offline"


_STATES = {
    "online": {"online": "1"},
    "offline": {"online": "0", "registered": "1"},
    "registered": {"registered": "1"},
    "unregistered": {"registered": "0"},
    "suspended": {"suspended": "1"},
}


@ven.command("list")
@click.argument("text", required=False)
@click.option("--state", type=click.Choice(tuple(_STATES)), help="Only these.")
@click.option("--group", "group_id", type=ids.GROUP, help="Only of this group.")
@click.option("--leniency", help="Only those that may send so much against the schema.")
@json_option
def list_vens(text: str | None, state: str | None, group_id: str | None, leniency: str | None, as_json: bool) -> None:
    """List the VENs that are known: all, or those with TEXT in their ID or name.

    \b
      oadrvtn ven list --state offline
      oadrvtn ven list cellar --group north
    """
    query = {"q": text, "group_id": group_id, "leniency": leniency, **_STATES.get(state or "", {})}
    found = ask_all("vens", of="vens", query=query)
    if as_json:
        return print_json(found)
    columns = ("VEN", "Name", "State", "Last seen", "Registered", "Added by")
    rows = found["vens"]
    print_table(
        None,
        columns,
        ((r["ven_id"], r["name"], _state(r), r["last_seen"], r["registered_at"], r["source"]) for r in rows),
    )


_MOST_POINTS = 50


@ven.command("show")
@click.argument("ven_id", type=ids.VEN)
@json_option
def show_ven(ven_id: str, as_json: bool) -> None:
    """Show all about a VEN: certificates, reports, events, what waits for it."""
    _show_ven(ask("GET", "vens", ven_id), as_json)


def _show_ven(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(found)
    print_pairs(
        {
            "VEN": found["ven_id"],
            "Name": found["name"],
            "Calls itself": found["ven_name"],
            "State": _state(found),
            "Last seen": found["last_seen"],
            "Registered": found["registered_at"],
            "Suspended": found["suspended_at"],
            "Registration ID": found["registration_id"],
            "Polls each": f"{found['poll_frequency']:g} s{_wanted(found)}",
            "Leniency": found["leniency"],
            "Signatures": found["signatures"],
            "Signs with": found["signing_fingerprint"],
            **{kind.replace("_", " ").capitalize(): _values(values) for kind, values in found["traits"].items()},
            "Added by": found["source"],
            "Fingerprints": [f"{known['fingerprint']}{_until(known)}" for known in found["fingerprints"]],
            "Bends": [
                f"{name} {bend['count']:,} times, last {bend['last_at']}" for name, bend in found["bends"].items()
            ],
        }
    )
    points = [
        (report["report_name"], point["r_id"], point["report_type"], point["reading_type"], point["unit"])
        for report in (found["capabilities"] or {"reports": []})["reports"]
        for point in report["data_points"]
    ]
    print_table("What it can report", ("Report", "Data point", "Type", "Reading", "Unit"), points[:_MOST_POINTS])
    if len(points) > _MOST_POINTS:
        click.echo(f" ... and {len(points) - _MOST_POINTS} more: --json has them all")
    print_table(
        "What it was asked to report",
        ("Request", "Report", "State", "Since", "Code"),
        (
            (r["report_request_id"], r["report_name"], r["state"], r["changed_at"], r["response_code"])
            for r in found["report_requests"]
        ),
    )
    print_table(
        "Events",
        ("Event", "Modification", "State", "Opt", "Offers", "Answered", "Code"),
        (
            (e["event_id"], e["modification_number"], *said(e), e["offers"], e["answered_at"], e["response_code"])
            for e in found["ledger"]
        ),
    )
    print_table(
        "Opts", ("Opt", "Type", "Event", "Since"),
        ((o["opt_id"], o["opt_type"], o["event_id"] or "schedule", o["received_at"]) for o in found["opts"]),
    )  # fmt: skip
    print_table(
        "What it is told, the newest first",
        ("Kind", "State", "Offers", "Queued", "Closed", "Code"),
        (
            (e["kind"], e["state"], e["offers"], e["queued_at"], e["closed_at"], e["response_code"])
            for e in found["outbox"]
        ),
    )


def _until(known: Mapping[str, Any]) -> str:
    """What is to be said of a certificate beside its fingerprint."""
    said = [f"until {known['not_after']}"] * bool(known["not_after"]) + ["revoked"] * bool(known["revoked_at"])
    return f" ({', '.join(said)})" if said else ""


def _wanted(row: Mapping[str, Any]) -> str:
    wanted = row["wanted_poll_frequency"]
    return "" if wanted in (None, row["poll_frequency"]) else f", will be told {wanted:g} s"


def _values(traits: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({trait["value"] for trait in traits})


@ven.command("change")
@click.argument("ven_id", type=ids.VEN)
@click.option("--name", help="A name for people.")
@click.option("--poll-frequency", metavar="DURATION", help='How often it is to poll: "30s", "5m" or "default".')
@click.option("--leniency", metavar="PROFILE", help='What it may send against the schema, or "default".')
@click.option("--signatures", metavar="LEVEL", help='XML signatures: off, accept, require or "default".')
@click.option(
    "--signing-fingerprint",
    metavar="AA:BB:...",
    help='The whole SHA-256 of the certificate it signs with; "default": the one of its connections.',
)
@trial_option
@json_option
def change_ven(ven_id: str, name: str | None, as_json: bool, **its_own: str | None) -> None:
    """Give a VEN another name, or what the configuration has for all of them as its own.

    \b
      oadrvtn ven change ven-1 --poll-frequency 30s
      oadrvtn ven change ven-1 --leniency bare
      oadrvtn ven change ven-1 --signatures require
      oadrvtn ven change ven-1 --poll-frequency default --leniency default

    It is asked to register again, by which it learns of its poll frequency.
    """
    changes: dict[str, Any] = {"name": name} if name else {}
    changes |= {key: None if value == "default" else value for key, value in its_own.items() if value}
    if not changes:
        raise click.UsageError("say what is to be different, such as --poll-frequency 30s")
    _show_ven(ask("PATCH", "vens", ven_id, body=changes), as_json)


def _pem(file: Path) -> str:
    """The first certificate in a file."""
    return certificates.pem(certificates.load_certificates(file)[0])


def _known(fingerprints: Iterable[str], files: Iterable[Path]) -> dict[str, list[str]]:
    """By what a VEN is known, as the API is told."""
    return {"fingerprints": list(fingerprints), "certificates": list(map(_pem, files))}


_certificate_files = click.option(
    "--certificate", "files", multiple=True, type=click.Path(path_type=Path),
    help="Its certificate (PEM), from which the fingerprint is taken, and until when it is good.",
)  # fmt: skip


@ven.command("add")
@click.argument("ven_id")
@click.option("--fingerprint", "known", multiple=True, metavar="AA:BB:...", help="SHA-256, whole or its last 10 bytes.")
@_certificate_files
@click.option("--name", help="A name for people.")
@trial_option
@json_option
def add_ven(ven_id: str, known: tuple[str, ...], files: tuple[Path, ...], name: str | None, as_json: bool) -> None:
    """Let a VEN in, known by one or two certificates.

    \b
      oadrvtn ven add ven-1 --certificate ven-1.crt --name "Cold store"
      oadrvtn ven add ven-2 --fingerprint AA:BB:CC:DD:EE:FF:00:11:22:33
    """
    if not known and not files:
        raise click.UsageError("say by which certificate it is known: --certificate FILE or --fingerprint AA:BB:...")
    body = {"ven_id": ven_id, **_known(known, files)} | ({"name": name} if name else {})
    _show_ven(ask("POST", "vens", body=body), as_json)


@ven.command("fingerprints")
@click.argument("ven_id", type=ids.VEN)
@click.argument("known", nargs=-1, metavar="[FINGERPRINT]...")
@_certificate_files
@json_option
def fingerprints(ven_id: str, known: tuple[str, ...], files: tuple[Path, ...], as_json: bool) -> None:
    """Show the certificates that a VEN is known by, or set them.

    While a VEN changes its certificate it may be known by two, the old and the new:

    \b
      oadrvtn ven fingerprints ven-1 --certificate old.crt --certificate new.crt
      oadrvtn ven fingerprints ven-1 --certificate new.crt
    """
    if known or files:
        found = ask("PATCH", "vens", ven_id, body=_known(known, files))
    else:
        found = ask("GET", "vens", ven_id)
    if as_json:
        return print_json(found["fingerprints"])
    columns = ("Fingerprint", "SHA-256", "Until", "Revoked")
    shown = ("fingerprint", "sha256", "not_after", "revoked_at")
    print_table(None, columns, ([known[name] for name in shown] for known in found["fingerprints"]))


_KINDS = {".csv": "text/csv", ".json": "application/json"}


def _kind(file: Path) -> str:
    if file.suffix.lower() not in _KINDS:
        raise click.UsageError(f"{file}: is neither .csv nor .json")
    return _KINDS[file.suffix.lower()]


@ven.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@dry_run_option
@json_option
def import_vens(file: Path, dry_run: bool, as_json: bool) -> None:
    """Let many VENs in: all that stand in FILE (.csv, .json), or none where something is wrong with any of them.

    \b
      ven_id,name,fingerprints,group_ids
      ven-1,Cold store,AA:BB:CC:DD:EE:FF:00:11:22:33,north;stores

    It may have more columns: poll_frequency, leniency, signatures, signing_fingerprint, market_contexts and the other
    kinds of "ven traits".  Several values in a cell stand between semicolons.

    \b
      oadrvtn ven import houses.csv --dry-run
      oadrvtn ven import houses.csv
    """
    kind = _kind(file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    try:
        with progress(f"sending {file.name}", len(content)) as sent:
            found = ask("POST", "vens", "import", file=File(kind, content, sent), query=only_tried(dry_run))
    except ApiError as error:
        for mistake in error.mistakes[MOST_TOLD:] and error.mistakes:  # more than the text has of them
            line = f"line {mistake['line']}, " if "line" in mistake else ""
            click.echo(printable(f"{line}{mistake['pointer']}: {mistake['detail']}"), err=True)
        raise
    if as_json:
        return print_json(found)
    click.echo(f"{found['imported']:,} VENs {'could come' if dry_run else 'came'} in")


@ven.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def export_vens(file: Path, as_json: bool) -> None:
    """Write all VENs to FILE (.csv, .json), as an import takes them; a file that exists is not overwritten.

    \b
      oadrvtn ven export vens.csv
    """
    kind = _kind(file)
    try:
        with progress("reading VENs", ask("GET", "status")["vens"]) as came:
            rows = [_exported(row) for row in ask_all("vens", of="vens", came=came)["vens"]]
        columns = [*_COLUMNS, *sorted(set().union(*rows) - {*_COLUMNS})]
        with file.open("x", encoding="utf-8", newline="") as new:
            new.write(write_csv(columns, rows) if kind == "text/csv" else json.dumps(rows, indent=1) + "\n")
    except FileExistsError as error:
        raise click.ClickException(f"{file} exists already and is not overwritten") from error
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    if as_json:
        return print_json({"exported": len(rows)})
    click.echo(f"{len(rows):,} VENs are in {file}")


_COLUMNS = (
    "ven_id", "name", "fingerprints", "poll_frequency", "leniency", "signatures", "signing_fingerprint",
    "group_ids", "market_contexts",
)  # fmt: skip


def _exported(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an import says of a VEN, of what it is."""
    known = [each["sha256"] or each["fingerprint"] for each in row["fingerprints"]]
    own = {**row, "fingerprints": known, "poll_frequency": row["wanted_poll_frequency"]}
    return {name: own[name] for name in (*_COLUMNS, *KINDS) if own.get(name) not in (None, [])}


@ven.command("waiting")
@click.argument("known", type=ids.CANDIDATE, metavar="[FINGERPRINT]", required=False)
@json_option
def waiting(known: str | None, as_json: bool) -> None:
    """List the certificates that wait for approval (registration.policy = "approve"), or one of them."""
    if known:
        found = {"candidates": [ask("GET", "candidates", known)]}
    else:
        found = ask_all("candidates", of="candidates")
    if as_json:
        return print_json(found)
    columns = ("Fingerprint", "Subject", "Says it is", "Calls itself", "First seen", "Last seen")
    rows = found["candidates"]
    print_table(
        None,
        columns,
        ([r[key] for key in ("fingerprint", "subject", "ven_id", "ven_name", "first_seen", "last_seen")] for r in rows),
    )


@ven.command("approve")
@click.argument("known", type=ids.CANDIDATE, metavar="FINGERPRINT")
@click.option("--ven-id", help="The venID it gets; if left out the one that it says it is, else a new one.")
@click.option("--name", help="A name for people.")
@trial_option
@json_option
def approve(known: str, ven_id: str | None, name: str | None, as_json: bool) -> None:
    """Let in a certificate that waits.

    \b
      oadrvtn ven waiting
      oadrvtn ven approve AA:BB:CC:DD:EE:FF:00:11:22:33 --ven-id ven-7
    """
    body = {key: value for key, value in {"ven_id": ven_id, "name": name}.items() if value}
    _show_ven(ask("POST", "candidates", known, "approve", body=body), as_json)


@ven.command("remove")
@click.argument("ven_id", type=ids.VEN)
@consent_option("This forgets the VEN with its readings and answers.  Go on?")
@trial_option
@json_option
def remove(ven_id: str, as_json: bool) -> None:
    """Forget a VEN, its readings and its answers."""
    ask("DELETE", "vens", ven_id)
    if as_json:
        return print_json({"removed": ven_id})
    click.echo(printable(f"{ven_id} is removed"))


def _do(ven_id: str, what: str, done: str, as_json: bool) -> None:
    found = ask("POST", "vens", ven_id, what)
    if as_json:
        return print_json(found)
    click.echo(printable(f"{ven_id} {done}"))


@ven.command("suspend")
@click.argument("ven_id", type=ids.VEN)
@json_option
def suspend(ven_id: str, as_json: bool) -> None:
    """Take nothing from a VEN any more, until it is resumed; it stays registered, and what waits for it waits."""
    _do(ven_id, "suspend", "is suspended: all that it says is refused (463)", as_json)


@ven.command("resume")
@click.argument("ven_id", type=ids.VEN)
@json_option
def resume(ven_id: str, as_json: bool) -> None:
    """End the suspension of a VEN."""
    _do(ven_id, "resume", "is heard again", as_json)


@ven.command("reregister")
@click.argument("ven_id", type=ids.VEN)
@json_option
def reregister(ven_id: str, as_json: bool) -> None:
    """Ask a VEN to register again; it hears of it at its next poll."""
    _do(ven_id, "request-reregistration", "will be asked to register again", as_json)


@ven.command("cancel-registration")
@click.argument("ven_id", type=ids.VEN)
@json_option
def cancel_registration(ven_id: str, as_json: bool) -> None:
    """End a VEN's registration; it hears of it at its next poll."""
    _do(ven_id, "cancel-registration", "will be told that its registration ends", as_json)
