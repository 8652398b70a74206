"""Groups behind the desk, and the other traits by which VENs are targeted.

A VEN that comes to be concerned by a running event is sent it, one that no longer is loses it: ``effects`` says
which, also where it is withheld because it would overlap another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from twisted.web.iweb import IRequest

from ..model.config import Config
from ..model.errors import InvalidID
from ..model.values import shown
from ..storage import audience as stored
from ..storage.audience import GROUP, Group
from ..storage.database import Txn
from ..vtn import audience, wishes
from ..vtn.changes import Changes
from .desk import Desk, Rehearsal, answer, created, gone, route, then
from .shapes import Name, Nothing, show


@attrs.frozen(kw_only=True)
class NewGroup:
    """A group that is to be made."""

    group_id: Name | None = None
    name: Name
    ven_ids: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class OtherName:
    """What a group is to be called."""

    name: Name


@attrs.frozen(kw_only=True)
class Members:
    """Who is to come into a group, and who is to leave it."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


_KINDS = [kind for kind in audience.KINDS if kind != GROUP]
Traits = attrs.make_class(
    "Traits", {kind: attrs.field(type=tuple[str, ...], default=()) for kind in _KINDS}, kw_only=True, frozen=True
)
"""By what a VEN may be targeted, for each kind its values."""


# --- what is shown ------------------------------------------------------------------------------------


def _list(txn: Txn) -> list[dict[str, Any]]:
    sizes = stored.sizes(txn)
    return [{**show(group), "vens": sizes.get(group.group_id, 0)} for group in stored.groups(txn)]


def _whole(txn: Txn, group_id: str) -> dict[str, Any]:
    """A group with its members.  Raises InvalidID."""
    group = stored.group(txn, group_id)
    if group is None:
        raise InvalidID(f"group_id: {shown(group_id)} is not known")
    return {**show(group), "ven_ids": stored.members(txn, group_id)}


def _view(txn: Txn, group: Group, now: datetime) -> dict[str, Any]:
    return _whole(txn, group.group_id)


def traits(txn: Txn, ven_id: str) -> dict[str, list[dict[str, str]]]:
    """By what a VEN may be targeted: for each kind the values, with who knows them."""
    found: dict[str, list[dict[str, str]]] = {}
    for trait in stored.traits_of(txn, ven_id):
        found.setdefault(trait.kind, []).append({"value": trait.value, "source": trait.source})
    return found


# --- routes -------------------------------------------------------------------------------------------


@route("GET", "/groups")
async def list_groups(desk: Desk, request: IRequest) -> bytes:
    """All groups, with how many VENs each has."""
    desk.query(request, Nothing)
    return answer(request, {"groups": await desk.read("list groups", _list)})


@route("POST", "/groups")
async def create_group(desk: Desk, request: IRequest) -> bytes:
    """A new group."""
    new = desk.body(request, NewGroup)
    wish = desk.query(request, Rehearsal)
    row = await desk.write(wish, then(_create_group, _view), desk.vtn.config, new)
    return created(request, wish, row, "groups", row["group_id"])


def _create_group(txn: Txn, config: Config, new: NewGroup, now: datetime) -> tuple[Group, Changes]:
    group, changes = audience.create_group(txn, new.group_id, new.name, new.ven_ids, now)
    return group, _with_wishes(txn, config, new.ven_ids, changes, now)


def _with_wishes(txn: Txn, config: Config, ven_ids: Collection[str], changes: Changes, now: datetime) -> Changes:
    """Also ask these VENs for the reports that are wanted of their groups, and have them stop others."""
    return attrs.evolve(changes, vens=changes.vens | wishes.reconcile(txn, config, ven_ids, now))


@route("GET", "/groups/<id:group_id>")
async def show_group(desk: Desk, request: IRequest, group_id: str) -> bytes:
    """A group with its members."""
    desk.query(request, Nothing)
    return answer(request, await desk.read("show group", _whole, group_id))


@route("PATCH", "/groups/<id:group_id>")
async def rename_group(desk: Desk, request: IRequest, group_id: str) -> bytes:
    """Another name for a group."""
    wish = desk.body(request, OtherName)
    return answer(request, await desk.change(request, then(audience.rename_group, _view), group_id, wish.name))


@route("DELETE", "/groups/<id:group_id>")
async def delete_group(desk: Desk, request: IRequest, group_id: str) -> bytes:
    """Forget a group that no running event has as a target."""
    await desk.change(request, _delete_group, desk.vtn.config, group_id)
    return gone(request)


def _delete_group(txn: Txn, config: Config, group_id: str, now: datetime) -> tuple[None, Changes]:
    members = stored.members(txn, group_id)
    _, changes = audience.delete_group(txn, group_id, now)
    return None, _with_wishes(txn, config, members, changes, now)


@route("POST", "/groups/<id:group_id>/members")
async def change_members(desk: Desk, request: IRequest, group_id: str) -> bytes:
    """Who comes into a group, and who leaves it."""
    members = desk.body(request, Members)
    found = await desk.change(request, _change_members, desk.vtn.config, group_id, members.add, members.remove)
    return answer(request, found)


def _change_members(
    txn: Txn, config: Config, group_id: str, add: Sequence[str], remove: Sequence[str], now: datetime
) -> tuple[dict[str, Any], Changes]:
    effects, changes = audience.change_members(txn, group_id, add, remove, now)
    found = {**_whole(txn, group_id), "effects": show(effects)}
    return found, _with_wishes(txn, config, {*add, *remove}, changes, now)


@route("PATCH", "/vens/<id:ven_id>/traits")
async def change_traits(desk: Desk, request: IRequest, ven_id: str) -> bytes:
    """By what a VEN may be targeted: the kinds that are given are replaced."""
    wish = desk.changes(request, Traits)
    return answer(request, await desk.change(request, _change_traits, desk.vtn.config, ven_id, wish))


def _change_traits(
    txn: Txn, config: Config, ven_id: str, wish: Mapping[str, Sequence[str]], now: datetime
) -> tuple[dict[str, Any], Changes]:
    effects, changes = audience.set_traits(txn, ven_id, wish, now)
    found = {"ven_id": ven_id, "traits": traits(txn, ven_id), "effects": show(effects)}
    return found, _with_wishes(txn, config, [ven_id], changes, now)
