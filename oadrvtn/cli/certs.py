"""Certificates at the command line: make some for trying, look into any, see which end, and revoke them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from ..model.config import read_duration
from ..security import certificates, fingerprint
from ..security.certificates import printable
from . import ids
from .screen import ask, ask_all, json_option, print_json, print_pairs, print_table


@click.group()
def certs() -> None:
    """Certificates: make some for trying, look into any, see which end, and revoke them.

    \b
      oadrvtn certs init --name vtn.example.org
      oadrvtn certs issue ven-1
      oadrvtn certs fingerprint certs/ven-1.crt
      oadrvtn certs expiring --within 30d
      oadrvtn certs revoke --ven ven-1
    """


_directory = click.option(
    "--directory", default="certs", show_default=True, type=click.Path(path_type=Path), help="Where they are."
)


@certs.command("init")
@_directory
@click.option("--name", "names", multiple=True, help="A host name or address of the VTN; may be repeated.")
@json_option
def init_certs(directory: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Make an authority, and an EC and an RSA certificate for the VTN.

    Without --name they are good for localhost.
    """
    certificates.init(directory, *([names] if names else []))
    if as_json:
        return print_json({"directory": str(directory), "certificates": ["ca", "vtn-ec", "vtn-rsa"]})
    click.echo(f"{directory} holds an authority (ca) and the VTN's certificates (vtn-ec, vtn-rsa).  For a VEN:\n")
    click.echo(f"  oadrvtn certs issue ven-1 --directory {directory}")


@certs.command("issue")
@click.argument("name")
@click.option("--rsa", is_flag=True, help="An RSA key instead of an EC one, for VENs that know no other.")
@_directory
@json_option
def issue(name: str, rsa: bool, directory: Path, as_json: bool) -> None:
    """Issue a certificate for a VEN, as NAME.crt with NAME.key."""
    try:
        credential = certificates.issue(directory, name, rsa)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    file = directory / f"{name}.crt"
    short = fingerprint.show(fingerprint.short(credential.fingerprint))
    if as_json:
        whole = fingerprint.show(credential.fingerprint)
        return print_json({"certificate": str(file), "fingerprint": short, "sha256": whole})
    click.echo(f"{file} is written, and its key beside it; fingerprint {short}.  To let it in:\n")
    click.echo(f"  oadrvtn ven add {name} --certificate {file}")


@certs.group("crl")
def crl() -> None:
    """The CRL of an authority of your own: the list of certificates that it has revoked.

    \b
      oadrvtn certs crl add certs/ven-1.crt
      oadrvtn certs crl write --valid 30d
      oadrvtn certs crl list
    """


_valid = click.option(
    "--valid", default="30d", show_default=True, metavar="DURATION", help="For how long it is good; then write it anew."
)


def _life(text: str) -> timedelta:
    try:
        return timedelta(seconds=read_duration(text))
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"--valid: {error}") from error


def _written(file: Path, as_json: bool) -> None:
    if as_json:
        return print_json({"file": str(file)})
    click.echo(f"{file} is written")


@crl.command("list")
@_directory
@json_option
def list_crl(directory: Path, as_json: bool) -> None:
    """List what is revoked, and until when the list is good."""
    found = certificates.load_crl(directory)
    rows = [(f"{each.serial_number:X}", each.revocation_date_utc.isoformat()) for each in found or ()]
    end = None if found is None else found.next_update_utc  # an empty one is false
    until = end and end.isoformat()
    if as_json:
        return print_json(
            {"valid_to": until, "revoked": [{"serial": serial, "revoked_at": when} for serial, when in rows]}
        )
    click.echo(f"The CRL is good until {until}." if until else f"{directory / 'ca.crl'} is not written yet.")
    print_table("Revoked", ("Serial", "Revoked"), rows)


@crl.command("add")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@_valid
@_directory
@json_option
def add_crl(files: tuple[Path, ...], valid: str, directory: Path, as_json: bool) -> None:
    """Revoke the certificates in FILES, and write the list anew.  There is no way back: issue new ones."""
    revoked = [certificates.load_certificates(file)[0] for file in files]
    _written(certificates.write_crl(directory, revoked, _life(valid)), as_json)


@crl.command("write")
@_valid
@_directory
@json_option
def write_crl(valid: str, directory: Path, as_json: bool) -> None:
    """Write the list anew as it is, good from now; an empty one, where there is none yet."""
    _written(certificates.write_crl(directory, (), _life(valid)), as_json)


_file = click.argument("file", type=click.Path(path_type=Path))


@certs.command("fingerprint")
@_file
@click.option("--full", is_flag=True, help="The whole SHA-256 instead of its last 10 bytes.")
@json_option
def show_fingerprint(file: Path, full: bool, as_json: bool) -> None:
    """Print the fingerprint of a certificate, by which OpenADR knows it."""
    described = certificates.describe(certificates.load_certificates(file)[0])
    if as_json:
        return print_json({"fingerprint": described.fingerprint, "sha256": described.sha256})
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


# --- those that a VTN knows ---------------------------------------------------------------------------


@certs.command("expiring")
@click.option("--within", default="30d", show_default=True, metavar="DURATION", help='Such as "90d" or "12h".')
@json_option
def expiring(within: str, as_json: bool) -> None:
    """List the certificates that end within a time, or have ended: of VENs, of the VTN, and of authorities.

    Of a VEN it is known once it has connected, or was added with its certificate.
    """
    query = {"expiring_within": within}
    own = ask("GET", "certificates", query={**query, "limit": 1})["own"]
    found = ask_all("certificates", of="certificates", query=query)["certificates"]
    if as_json:
        return print_json({"own": own, "certificates": found})
    names = {"vtn": "this VTN", "ca": "authority"}
    rows = [(names[row["kind"]], row) for row in own] + [(row["ven_id"], row) for row in found]
    shown = ("not_after", "fingerprint", "subject", "issuer", "serial")
    columns = ("Whose", "Until", "Fingerprint", "Subject", "Issuer", "Serial")
    print_table(None, columns, ((whose, *(row[key] for key in shown)) for whose, row in rows))


@certs.command("revoke")
@click.argument("known", required=False, metavar="[FINGERPRINT]")
@click.option("--ven", "ven_id", type=ids.VEN, metavar="VEN_ID", help="All certificates that this VEN is known by.")
@click.option("--undo", is_flag=True, help="Take it back.")
@json_option
def revoke(known: str | None, ven_id: str | None, undo: bool, as_json: bool) -> None:
    """Refuse a certificate from now on, whatever its authority says; connections that show it are closed.

    \b
      oadrvtn certs revoke AA:BB:CC:DD:EE:FF:00:11:22:33
      oadrvtn certs revoke --ven ven-1
      oadrvtn certs revoke --ven ven-1 --undo
    """
    if bool(known) == bool(ven_id):
        raise click.UsageError("say which: a FINGERPRINT, or --ven for all of a VEN")
    body = {"fingerprint": known} if known else {"ven_id": ven_id}
    found = ask("POST", "revocations", *(["restore"] if undo else []), body=body)
    if as_json:
        return print_json(found)
    shorts = found["restored"] if undo else [row["fingerprint"] for row in found["revoked"]]
    for short in shorts:
        click.echo(printable(f"{short} is {'no longer ' if undo else ''}revoked"))


@certs.command("revoked")
@json_option
def list_revoked(as_json: bool) -> None:
    """List the certificates that were revoked here."""
    found = ask_all("revocations", of="revocations")
    if as_json:
        return print_json(found)
    columns = ("Fingerprint", "VEN", "Revoked")
    shown = ("fingerprint", "ven_id", "revoked_at")
    print_table(None, columns, ([row[key] for key in shown] for row in found["revocations"]))
