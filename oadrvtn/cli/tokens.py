"""Tokens at the command line: who may use the API, for what, until when."""

from __future__ import annotations

import click

from ..storage.tokens import SCOPES
from . import ids
from .screen import ask, ask_all, cell, json_option, print_json, print_table


@click.group()
def token() -> None:
    """Tokens of the API: who may use it, for what, until when.

    \b
      oadrvtn token create anna --scope dispatch --expires 90d
      oadrvtn token list
      oadrvtn token revoke anna

    The token in the VTN's token file is none of these: it is good for everything, and stays.
    """


@token.command("create")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    required=True,
    help="To look; also to tell VENs what to do; also to decide who may come in.",
)
@click.option("--expires", default="90d", show_default=True, help='After how long: "90d", "12h"; or "never".')
@json_option
def create_token(name: str, scope: str, expires: str, as_json: bool) -> None:
    """Make a token for NAME and show it, this once."""
    made = ask(
        "POST", "tokens", body={"name": name, "scope": scope, "expires_in": None if expires == "never" else expires}
    )
    if as_json:
        return print_json(made)
    until = f"until {cell(made['expires_at'])}" if made["expires_at"] else "for always"
    click.echo(f"The token of {name}, good to {scope} {until}.  It is not shown again:\n\n  {made['token']}")


@token.command("list")
@click.argument("name", type=ids.TOKEN, required=False)
@json_option
def list_tokens(name: str | None, as_json: bool) -> None:
    """List all tokens that were made, also those that have ended, or one of them."""
    found = {"tokens": [ask("GET", "tokens", name)]} if name else ask_all("tokens", of="tokens")
    if as_json:
        return print_json(found)
    columns = ("name", "scope", "created_at", "created_by", "expires_at", "revoked_at", "token_id")
    print_table(
        None,
        ("Name", "Scope", "Made", "By", "Expires", "Revoked", "ID"),
        ([row[column] for column in columns] for row in found["tokens"]),
    )


@token.command("revoke")
@click.argument("name", type=ids.TOKEN)
@json_option
def revoke_token(name: str, as_json: bool) -> None:
    """Let the token of NAME be good for nothing from now on."""
    ask("DELETE", "tokens", name)
    if as_json:
        return print_json({"revoked": name})
    click.echo(f"The token of {name} is revoked")
