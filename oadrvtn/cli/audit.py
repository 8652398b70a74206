"""The audit log at the command line: what operators did, and whether that is still as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..console.client import ApiError
from ..security.certificates import printable
from ..storage import audit as stored
from ..storage.audit import Head
from .screen import ask, configuration, json_option, print_json, print_table


@click.group()
def audit() -> None:
    """The audit log: what operators did, in a chain of hashes.

    \b
      oadrvtn audit list --who anna --since -1d
      oadrvtn audit verify --head HEAD  # from the VTN's own log, which has one each hour
    """


@audit.command("list")
@click.option("--who", help="Only what this token did; local is that of the file, program the VTN's own.")
@click.option("--action", help='Only this, such as "POST /events".')
@click.option("--object", "thing", help="Only what was done to the event, VEN... of this ID.")
@click.option("--since", help='From then on: "-1h", "2026-01-31T12:00:00Z".')
@click.option("--refused/--done", default=None, help="Only what was refused, or what was not.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="So many, the newest.")
@json_option
def list_audit(limit: int, as_json: bool, refused: bool | None, thing: str | None, **asked: str | None) -> None:
    """Show what operators did, the newest last."""
    flag = None if refused is None else str(int(refused))
    found = ask("GET", "audit", query={**asked, "object": thing, "refused": flag, "limit": limit})
    if as_json:
        return print_json(found)
    columns = ("number", "at", "who", "address", "action", "object", "status", "left_out")
    print_table(
        None,
        ("Number", "At", "Who", "Address", "Action", "Object", "Status", "Left out"),
        ([row[column] for column in columns] for row in found["audit"]),
    )
    if found["next"]:
        click.echo("There are earlier ones: see --limit, or narrow it by --since and the others")


def _head(context: click.Context, parameter: click.Parameter, text: str | None) -> Head | None:
    try:
        return None if text is None else Head.parse(text)
    except ValueError as error:
        raise click.BadParameter(printable(str(error))) from None


@audit.command("verify")
@click.option("--head", callback=_head, help="A head that the VTN's log has: then rows that are cut off are seen, too.")
@click.option(
    "--offline", is_flag=True, help="Look into the database of the configuration, whether the VTN runs or not."
)
@click.option("--file", type=click.Path(path_type=Path), help="Look into this database, or backup.")
@json_option
def verify_audit(head: Head | None, offline: bool, file: Path | None, as_json: bool) -> None:
    """Verify that the log is as it was written; the first row that is not ends it with exit code 1.

    Without --head the end may be missing, and whoever can write to the database may have written all of it anew.
    """
    if offline or file:
        good, broken = stored.verify_file(file or configuration().database_path, head)
        found: dict[str, Any] = {
            "head": str(good),
            "rows": good.number,
            "broken": broken and {"number": broken.number, "reason": broken.reason},
        }
    else:
        found = ask("GET", "audit", "verify", query={"head": head and str(head)})
    if as_json:
        print_json(found)
    elif not found["broken"]:
        click.echo(f"{found['rows']:,} rows are as they were written; the head is {found['head']}")
    if bad := found["broken"]:
        raise ApiError(f"the audit log is broken: row {bad['number']} {bad['reason']}")
