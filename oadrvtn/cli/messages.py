"""Messages looked at offline: what is wrong with one and where, and how lenient a VTN has to be to read it."""

from __future__ import annotations

from typing import Any

import attrs
import click

from ..model.errors import VtnError
from ..model.report import OadrUpdateReport
from ..security.certificates import printable
from ..wire import bends, decode
from .screen import json_option, print_json

MOST = 32 * 1024 * 1024
"""Bytes of a file that are looked at; a VTN takes far less of a message."""


@attrs.frozen
class Verdict:
    """What there is to say of a document.

    ``fault`` is what the schema has against it, with the place; ``bends`` mend that, which the ``leniency`` profile
    and all that are wider allow.  Where none does, it is None, and ``unmended`` is what even the widest leaves.
    """

    file: str
    message: str | None = None
    signed: bool = False
    fault: str | None = None
    leniency: str | None = None
    bends: tuple[str, ...] = ()
    unmended: str | None = None


def _judged(file: str, data: bytes) -> Verdict:
    """The verdict by the narrowest leniency profile that reads the document."""
    faults: list[str] = []
    for profile, allowed in bends.PROFILES.items():
        try:
            found = decode(data, allowed)
            message, bent = found.message, found.bends
            if isinstance(message, OadrUpdateReport):
                _, more = bends.unoffered(message, allowed)
                bent += more
        except VtnError as error:
            faults.append(error.description)
            continue
        fault = faults[0] if faults else None
        return Verdict(file, message.name(), found.signed, fault, profile, bent)
    return Verdict(file, fault=faults[0], unmended=faults[-1])


def _told(verdict: Verdict) -> list[str]:
    """A verdict in lines for people."""
    if verdict.leniency is None:
        lines = [f"cannot be read: {verdict.fault}"]
        return lines if verdict.unmended == verdict.fault else [*lines, f"  and, mended: {verdict.unmended}"]
    signed = ", signed (the signature is not checked)" if verdict.signed else ""
    if not verdict.bends:
        return [f"{verdict.message}, valid{signed}"]
    needs = f'is read with leniency "{verdict.leniency}" by {", ".join(verdict.bends)}'
    return [f"{verdict.message}, not valid{signed}: {verdict.fault}", f"  {needs}"]


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--leniency", type=click.Choice([*bends.PROFILES]), default="strict", show_default=True,
    help="What is good enough for exit code 0.",
)  # fmt: skip
@json_option
def check(files: tuple[str, ...], leniency: str, as_json: bool) -> None:
    """Look at messages in files: what is wrong and where, and which leniency mends it.

    \b
      oadrvtn check message.xml
      oadrvtn check --leniency standard captured/1.xml captured/2.xml
      oadrvtn check - --json < message.xml

    Needs no VTN.  Exit code 1 says that one of them asks for more leniency than --leniency grants.
    """
    verdicts = [_look(file) for file in files]
    if as_json:
        print_json([attrs.asdict(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            first, *more = _told(verdict)
            click.echo("\n".join(map(printable, (f"{verdict.file}: {first}", *more))))
    granted: Any = bends.PROFILES[leniency]
    if not all(verdict.leniency and granted.issuperset(verdict.bends) for verdict in verdicts):
        raise click.exceptions.Exit(1)


def _look(file: str) -> Verdict:
    try:
        with click.open_file(file, "rb") as opened:
            data = opened.read(MOST + 1)
    except OSError as error:
        raise click.ClickException(printable(f"{file}: {error.strerror}")) from error
    name = "stdin" if file == "-" else file
    if len(data) > MOST:
        too_large = f"is larger than {MOST} bytes"
        return Verdict(name, fault=too_large, unmended=too_large)
    return _judged(name, data)
