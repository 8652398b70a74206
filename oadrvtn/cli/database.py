"""The database at the command line: a backup of it while the VTN runs, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import attrs
import click

from ..security.certificates import printable
from ..storage import backup as backups
from ..storage.backup import Contents
from .screen import configuration, json_option, print_json

_file = click.argument("file", type=click.Path(path_type=Path))


def _holds(contents: Contents) -> str:
    return f"{contents.vens:,} VENs, {contents.events:,} events, {contents.readings:,} readings"


@click.command()
@_file
@json_option
def backup(file: Path, as_json: bool) -> None:
    """Copy the database into FILE, while the VTN runs or not, and check the copy.

    \b
      oadrvtn backup vtn-monday.sqlite
      oadrvtn restore vtn-monday.sqlite

    It is the state of one moment.  The configuration, certificates and keys are not in it.
    """
    contents = backups.back_up(configuration().database_path, file)
    if as_json:
        return print_json({"file": str(file), **attrs.asdict(contents)})
    click.echo(printable(f"{file} is written and checked: {_holds(contents)}, {contents.size:,} bytes"))


@click.command()
@_file
@json_option
def restore(file: Path, as_json: bool) -> None:
    """Put a backup in the place of the database, once the VTN is stopped.

    A backup that is damaged or of a newer version changes nothing.  The database of before is kept beside it.
    """
    database = configuration().database_path
    contents, kept = backups.restore(file, database, datetime.now(UTC))
    if as_json:
        return print_json({"database": str(database), "kept": kept and str(kept), **attrs.asdict(contents)})
    click.echo(printable(f"{database} is now what was in {file}: {_holds(contents)}"))
    if kept:
        click.echo(f"What was there before is beside it.  To undo this:\n\n  oadrvtn restore {printable(str(kept))}")
