"""Groups behind the desk, and the other traits by which VENs are targeted.

A VEN that comes to be concerned by a running event is sent it, one that no longer is loses it: ``effects`` says
which, also where it is withheld because it would overlap another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from twisted.web.iweb import IRequest

from ..model.config import Config
from ..model.errors import InvalidID
from ..model.values import shown
from ..storage import audience as stored
from ..storage import vens
from ..storage.audience import GROUP, Group
from ..storage.database import Txn
from ..vtn import audience, wishes
from ..vtn.changes import Changes
from ..vtn.registration import current
from .desk import Desk, Given, Page, Rehearsal, answer, cut, etag, listed, route
from .shapes import A_HUNDRED, ByName, Name, PageSize, by_name, many, page_of, shape, show


@attrs.frozen(kw_only=True)
class GroupsQuery:
    """Groups by their names; those with ``q`` in ID or name."""

    q: str | None = None
    limit: PageSize = A_HUNDRED
    cursor: ByName | None = None


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


_SIZED = shape("GroupRow", Group, vens=int)
_WITH_VENS = shape("GroupWithVens", Group, ven_ids=many(str))
_EFFECTS = many(audience.Effect)
_CHANGED = shape("GroupChanged", _WITH_VENS, effects=_EFFECTS)
TRAITS = by_name(many(shape("KnownTrait", value=str, source=str)))
"""By what a VEN may be targeted."""
_TRAITS_CHANGED = shape("TraitsChanged", ven_id=str, traits=TRAITS, effects=_EFFECTS)


def _list(txn: Txn, query: GroupsQuery) -> Page:
    found = stored.found_groups(txn, query.cursor, query.limit, query.q)
    rows, last = cut(found, query.limit, lambda group: (group.name,))
    sizes = stored.sizes(txn)
    return [{**show(group), "vens": sizes.get(group.group_id, 0)} for group in rows], last


def _whole(txn: Txn, group_id: str) -> dict[str, Any]:
    """A group with its members.  Raises InvalidID."""
    group = stored.group(txn, group_id)
    if group is None:
        raise InvalidID(f"group_id: {shown(group_id)} is not known")
    return {**show(group), "ven_ids": stored.members(txn, group_id)}


def _present(group_id: str) -> Callable[[Txn], str]:
    return lambda txn: etag(_whole(txn, group_id))


def _view(txn: Txn, group: Group, now: datetime) -> dict[str, Any]:
    return _whole(txn, group.group_id)


def traits(txn: Txn, ven_id: str) -> dict[str, list[dict[str, str]]]:
    """By what a VEN may be targeted: for each kind the values, with who knows them."""
    found: dict[str, list[dict[str, str]]] = {}
    for trait in stored.traits_of(txn, ven_id):
        found.setdefault(trait.kind, []).append({"value": trait.value, "source": trait.source})
    return found


_SET = ("name", "source", "wanted_poll_frequency", "leniency", "signatures", "suspended_at")


def revision(txn: Txn, ven_id: str) -> str:
    """The ETag of a VEN: of what operators set, not of what it says and does.  Raises InvalidID."""
    ven = current(txn, ven_id)
    said = [[trait.kind, trait.value] for trait in stored.traits_of(txn, ven_id) if trait.source == "operator"]
    known = [each[-10:].hex() for each in vens.fingerprints(txn, ven_id)]
    signing = ven.signing_fingerprint and ven.signing_fingerprint.hex()
    return etag([*(show(getattr(ven, name)) for name in _SET), show(ven.created_at), known, signing, said])


# --- routes -------------------------------------------------------------------------------------------


@route("GET", "/groups", "read", page_of("groups", _SIZED))
async def list_groups(desk: Desk, request: IRequest, query: GroupsQuery) -> bytes:
    """All groups, with how many VENs each has."""
    return listed(request, "groups", await desk.read("list groups", _list, query))


@route("POST", "/groups", "dispatch", _WITH_VENS, 201)
async def create_group(desk: Desk, request: IRequest, query: Rehearsal, body: NewGroup) -> bytes:
    """A new group."""
    return await desk.do(
        request, query, _create_group, desk.vtn.config, body,
        show=_view, tag=lambda txn, row: etag(row), where=lambda row: ("groups", row["group_id"]),
    )  # fmt: skip


def _create_group(txn: Txn, config: Config, new: NewGroup, now: datetime) -> tuple[Group, Changes]:
    group, changes = audience.create_group(txn, new.group_id, new.name, new.ven_ids, now)
    return group, with_wishes(txn, config, new.ven_ids, changes, now)


def with_wishes(txn: Txn, config: Config, ven_ids: Collection[str], changes: Changes, now: datetime) -> Changes:
    """Also ask these VENs for the reports that are wanted of their groups, and have them stop others."""
    return attrs.evolve(changes, vens=changes.vens | wishes.reconcile(txn, config, ven_ids, now))


@route("GET", "/groups/<id:group_id>", "read", _WITH_VENS)
async def show_group(desk: Desk, request: IRequest, group_id: str) -> bytes:
    """A group with its members."""
    row = await desk.read("show group", _whole, group_id)
    return answer(request, row, etag=etag(row))


@route("PATCH", "/groups/<id:group_id>", "dispatch", _WITH_VENS)
async def rename_group(desk: Desk, request: IRequest, query: Rehearsal, body: OtherName, group_id: str) -> bytes:
    """Another name for a group."""
    return await desk.do(
        request, query, audience.rename_group, group_id, body.name, show=_view, present=_present(group_id)
    )


@route("DELETE", "/groups/<id:group_id>", "dispatch", None, 204)
async def delete_group(desk: Desk, request: IRequest, query: Rehearsal, group_id: str) -> bytes:
    """Forget a group that no running event has as a target."""
    return await desk.do(
        request, query, _delete_group, desk.vtn.config, group_id, status=204, present=_present(group_id)
    )


def _delete_group(txn: Txn, config: Config, group_id: str, now: datetime) -> tuple[None, Changes]:
    members = stored.members(txn, group_id)
    _, changes = audience.delete_group(txn, group_id, now)
    return None, with_wishes(txn, config, members, changes, now)


@route("POST", "/groups/<id:group_id>/members", "dispatch", _CHANGED)
async def change_members(desk: Desk, request: IRequest, query: Rehearsal, body: Members, group_id: str) -> bytes:
    """Who comes into a group, and who leaves it."""
    return await desk.do(
        request, query, _change_members, desk.vtn.config, group_id, body.add, body.remove, present=_present(group_id)
    )


def _change_members(
    txn: Txn, config: Config, group_id: str, add: Sequence[str], remove: Sequence[str], now: datetime
) -> tuple[dict[str, Any], Changes]:
    effects, changes = audience.change_members(txn, group_id, add, remove, now)
    found = {**_whole(txn, group_id), "effects": show(effects)}
    return found, with_wishes(txn, config, {*add, *remove}, changes, now)


@route("PATCH", "/vens/<id:ven_id>/traits", "dispatch", _TRAITS_CHANGED)
async def change_traits(
    desk: Desk,
    request: IRequest,
    query: Rehearsal,
    body: Given[Traits],  # type: ignore[valid-type]
    ven_id: str,
) -> bytes:
    """By what a VEN may be targeted: the kinds that are given are replaced."""
    return await desk.do(
        request, query, _change_traits, desk.vtn.config, ven_id, body, present=lambda txn: revision(txn, ven_id)
    )


def _change_traits(
    txn: Txn, config: Config, ven_id: str, wish: Mapping[str, Sequence[str]], now: datetime
) -> tuple[dict[str, Any], Changes]:
    effects, changes = audience.set_traits(txn, ven_id, wish, now)
    found = {"ven_id": ven_id, "traits": traits(txn, ven_id), "effects": show(effects)}
    return found, with_wishes(txn, config, [ven_id], changes, now)
