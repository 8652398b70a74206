"""The command line ``oadrvtn``: asks and tells a running VTN through its API; makes configurations and certificates."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import click

from ..console.client import ApiError
from ..model.config import ConfigError, example
from ..security.certificates import CertificateFileError, printable
from ..storage.database import DatabaseError
from .audit import audit
from .certs import certs
from .completion import completion
from .contexts import market_context
from .database import backup, restore
from .events import event
from .fleet import fleet
from .groups import group, traits
from .messages import check
from .opts import availability, ven_opts
from .readings import readings
from .reports import report
from .screen import ask, json_option, print_json, print_pairs, span
from .tokens import token
from .trace import trace
from .vens import ven
from .watch import watch

_MISTAKES = (ApiError, ConfigError, CertificateFileError, DatabaseError)


_PATH = click.Path(path_type=Path)


class _Oadrvtn(click.Group):
    """What goes wrong is one line on stderr, and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except _MISTAKES as error:
            raise click.ClickException(printable("; ".join(str(error).splitlines()))) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # who reads has enough, which click knows
                raise
            where = error.filename or "what is written"
            raise click.ClickException(printable(f"{where}: {error.strerror or error}")) from error


@click.group("oadrvtn", cls=_Oadrvtn, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "-c", metavar="FILE", help="The VTN's configuration.")
@click.option("--url", envvar="OADRVTN_URL", help="Ask the VTN there, such as https://vtn.example.org:8080.")
@click.option(
    "--token-file", envvar="OADRVTN_TOKEN_FILE", type=_PATH, help="Show the token in it, not that of the configuration."
)
@click.option("--ca", envvar="OADRVTN_CA", type=_PATH, help="The authorities of the API's certificate.")
@click.version_option(package_name="oadrvtn", message="oadrvtn %(version)s")
def main(config: str | None, url: str | None, token_file: Path | None, ca: Path | None) -> None:
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

    Which VTN is asked: --url, else --config, else $OADRVTN_CONFIG, else ./vtn.toml, else the demonstration.
    """


@main.command()
@json_option
def status(as_json: bool) -> None:
    """Show how the VTN is, and how much there is of everything."""
    found = ask("GET", "status")
    if as_json:
        return print_json(found)
    print_pairs(
        {
            "VTN": f"{found['vtn_id']}, version {found['version']}, up {span(found['uptime'])}",
            "VENs": f"{found['vens']} known, {found['vens_registered']} registered, {found['vens_online']} online, "
            f"{found['vens_waiting']} waiting for approval, {found['vens_suspended']} suspended",
            "Events": f"{found['events']} stored, {found['events_current']} current",
            "Reports": f"{found['report_requests']} running",
            "CRLs": [_standing(each) for each in found["crls"]],
            "Readings": f"{found['readings']:,} stored, {found['readings_dropped']:,} dropped because they were old",
        }
    )


def _standing(crl: dict[str, Any]) -> str:
    where = crl["file"] or f"authority {crl['issuer']}"
    return f"{where}: {crl['state']}{', ' * bool(crl['reason'])}{crl['reason']}"


@main.command()
@click.argument("file", default="vtn.toml", type=click.Path(path_type=Path))
@json_option
def init(file: Path, as_json: bool) -> None:
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
    if as_json:
        return print_json({"file": str(file)})
    click.echo(f"{file} is written.  It wants certificates in certs/ beside it: your own, or for trying\n")
    click.echo(f"  oadrvtn certs init --directory {file.parent / 'certs'} --name HOST  # as VENs call it")
    click.echo(f"  twistd -n oadrvtn --config {file}")


@main.command()
def openapi() -> None:
    """Print the description of the API, for programs (OpenAPI 3.1)."""
    print_json(ask("GET", "openapi.json"))


for command in (
    ven, group, market_context, event, report, readings, availability, certs, token, audit, check, fleet, backup,
    restore, completion,
):  # fmt: skip
    main.add_command(command)
for command in (traits, ven_opts, trace):
    ven.add_command(command)
event.add_command(watch)
