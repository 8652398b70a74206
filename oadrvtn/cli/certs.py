"""Certificates at the command line: make some for trying, look into any."""

from __future__ import annotations

from pathlib import Path

import click

from ..security import certificates, fingerprint
from .screen import json_option, print_json, print_pairs


@click.group()
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
@json_option
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
        return print_json(shown)
    for pairs in shown:
        print_pairs({name.replace("_", " ").capitalize(): value for name, value in pairs.items()})
        click.echo()
