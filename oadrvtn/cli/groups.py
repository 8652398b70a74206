"""Groups at the command line, and by what else VENs are targeted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from ..security.certificates import printable
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
    trial_option,
)


@click.group()
def group() -> None:
    """Groups of VENs, by which events and reports are targeted.

    \b
      oadrvtn group create "North side" --group-id north --ven ven-1 --ven ven-2
      oadrvtn group add north ven-3
      oadrvtn event create --level 2 --group north
    """


@group.command("list")
@click.argument("text", required=False)
@json_option
def list_groups(text: str | None, as_json: bool) -> None:
    """List the groups: all, or those with TEXT in ID or name."""
    found = ask_all("groups", of="groups", query={"q": text})
    if as_json:
        return print_json(found)
    columns = ("Group", "Name", "VENs", "Created")
    print_table(None, columns, ((g["group_id"], g["name"], g["vens"], g["created_at"]) for g in found["groups"]))


@group.command("show")
@click.argument("group_id", type=ids.GROUP)
@json_option
def show_group(group_id: str, as_json: bool) -> None:
    """Show a group with its VENs."""
    _show(ask("GET", "groups", group_id), as_json)


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(found)
    print_pairs(
        {"Group": found["group_id"], "Name": found["name"], "Created": found["created_at"], "VENs": found["ven_ids"]}
    )
    print_effects(found.get("effects", ()))


def print_effects(effects: Iterable[Mapping[str, Any]]) -> None:
    """Which VENs are sent which events now, and which are not any more."""
    meaning = {
        "shown": "is sent it",
        "withheld": "is not sent it: it would overlap another",
        "removed": "has it no longer",
    }
    rows = ((e["ven_id"], e["event_id"], meaning.get(e["what"], e["what"])) for e in effects)
    print_table("What that means for events that run", ("VEN", "Event", "The VEN"), rows)


@group.command("create")
@click.argument("name")
@click.option("--group-id", help="Its ID, as VENs are told it; NAME if left out.")
@click.option("--ven", "ven_ids", type=ids.VEN, multiple=True, help="A VEN of the group; may be repeated.")
@trial_option
@json_option
def create_group(name: str, group_id: str | None, ven_ids: tuple[str, ...], as_json: bool) -> None:
    """Make a group."""
    body = {"name": name, "ven_ids": ven_ids, "group_id": group_id or name}  # --group NAME is to find it
    _show(ask("POST", "groups", body=body), as_json)


@group.command("rename")
@click.argument("group_id", type=ids.GROUP)
@click.argument("name")
@trial_option
@json_option
def rename_group(group_id: str, name: str, as_json: bool) -> None:
    """Give a group another name."""
    _show(ask("PATCH", "groups", group_id, body={"name": name}), as_json)


@group.command("delete")
@click.argument("group_id", type=ids.GROUP)
@consent_option("Its VENs lose the events that they have by this group.  Go on?")
@trial_option
@json_option
def delete_group(group_id: str, as_json: bool) -> None:
    """Forget a group; its VENs lose the events that they have by it."""
    ask("DELETE", "groups", group_id)
    if as_json:
        return print_json({"deleted": group_id})
    click.echo(printable(f"group {group_id} is deleted"))


@group.command("add")
@click.argument("group_id", type=ids.GROUP)
@click.argument("ven_ids", type=ids.VEN, nargs=-1, required=True, metavar="VEN_ID...")
@dry_run_option
@json_option
def add_members(group_id: str, ven_ids: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Take VENs into a group; they are sent its running events."""
    _change_members(group_id, {"add": ven_ids}, dry_run, as_json)


@group.command("remove")
@click.argument("group_id", type=ids.GROUP)
@click.argument("ven_ids", type=ids.VEN, nargs=-1, required=True, metavar="VEN_ID...")
@dry_run_option
@json_option
def remove_members(group_id: str, ven_ids: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Take VENs out of a group; they lose the events that they have by it."""
    _change_members(group_id, {"remove": ven_ids}, dry_run, as_json)


def _change_members(group_id: str, body: dict[str, Any], dry_run: bool, as_json: bool) -> None:
    _show(ask("POST", "groups", group_id, "members", body=body, query=only_tried(dry_run)), as_json)


@click.command("traits")
@click.argument("ven_id", type=ids.VEN)
@click.argument("wish", nargs=-1, metavar="[KIND=VALUE]...")
@dry_run_option
@json_option
def traits(ven_id: str, wish: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Show by what a VEN may be targeted beside its venID, or set it.

    KIND is a target of events, such as resource_ids, party_ids or pnodes, or market_contexts: the programmes it
    takes part in.  All values of the kinds that are named are replaced; KIND= takes them away.

    \b
      oadrvtn ven traits ven-1 resource_ids=cooler resource_ids=lights
      oadrvtn ven traits ven-1 market_contexts=http://example.com/dr
      oadrvtn ven traits ven-1 party_ids=
    """
    wanted: dict[str, list[str]] = {}
    for part in wish:
        kind, equals, value = part.partition("=")
        if not equals:
            raise click.UsageError(f"{part}: say KIND=VALUE, such as resource_ids=cooler")
        wanted.setdefault(kind, []).extend([value] if value else [])
    if wanted:
        found = ask("PATCH", "vens", ven_id, "traits", body=wanted, query=only_tried(dry_run))
    else:
        found = {"ven_id": ven_id, "traits": ask("GET", "vens", ven_id)["traits"]}
    if as_json:
        return print_json(found)
    rows = ((kind, t["value"], t["source"]) for kind, values in found["traits"].items() for t in values)
    print_table(None, ("Kind", "Value", "Known by"), rows)
    print_effects(found.get("effects", ()))
