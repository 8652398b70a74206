"""Groups of VENs, and what else a VEN may be targeted by: its traits."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import BindParameter, ColumnElement, String, bindparam, delete, func, or_, select
from sqlalchemy.dialects.sqlite import insert as upsert

from .database import Txn
from .paging import Cursor, page
from .tables import groups as groups_table
from .tables import traits, vens

GROUP = "group_ids"
"""The kind of trait that says in which groups a VEN is."""
PROGRAM = "market_contexts"
"""The kind of trait that says in which programs a VEN takes part; without any it takes part in all."""


@attrs.frozen
class Group:
    """A group of VENs."""

    group_id: str
    name: str
    created_at: datetime


@attrs.frozen
class Trait:
    """Something that a VEN may be targeted by; ``source`` says who knows it: "operator" or "metadata"."""

    kind: str
    value: str
    source: str


_GROUP = select(*(groups_table.c[field.name] for field in attrs.fields(Group)))


def among(column: ColumnElement[Any], values: Collection[str | int] | BindParameter[str]) -> ColumnElement[bool]:
    """Whether a column is one of any number of texts or numbers: one parameter, where IN would take one each.

    For a statement that is made once it is a parameter, which is given a ``parameter`` of the values.
    """
    given = values if isinstance(values, BindParameter) else parameter(values)
    return column.in_(select(func.json_each(given).table_valued("value").c.value))


def parameter(values: Collection[str | int]) -> str:
    """Texts or numbers as ``among`` takes them."""
    return json.dumps(list(values))


# --- groups -------------------------------------------------------------------------------------------


def groups(txn: Txn) -> list[Group]:
    """All groups, by their names."""
    return [Group(*row) for row in txn.execute(_GROUP.order_by(groups_table.c.name))]


def found_groups(txn: Txn, cursor: Cursor | None, most: int, text: str | None = None) -> list[Group]:
    """A page of groups by their names; ``text`` stands in ID or name."""
    query = _GROUP
    if text is not None:
        said = (groups_table.c.group_id, groups_table.c.name)
        query = query.where(or_(*(column.icontains(text, autoescape=True) for column in said)))
    return [Group(*row) for row in txn.execute(page(query, [groups_table.c.name], cursor, most))]


def group(txn: Txn, group_id: str) -> Group | None:
    """The group of this ID."""
    row = txn.execute(_GROUP.where(groups_table.c.group_id == group_id)).first()
    return Group(*row) if row else None


def named(txn: Txn, names: Collection[str]) -> dict[str, str]:
    """The group_id of each of these names that is a group's."""
    if not names:
        return {}
    query = select(groups_table.c.name, groups_table.c.group_id).where(among(groups_table.c.name, names))
    return {name: group_id for name, group_id in txn.execute(query)}


def put_group(txn: Txn, group: Group) -> None:
    """A new group, or another name for one."""
    values = attrs.asdict(group)
    txn.execute(upsert(groups_table).values(**values).on_conflict_do_update(index_elements=["group_id"], set_=values))


def drop_group(txn: Txn, group_id: str) -> None:
    """Forget a group; its members are taken out of it first."""
    txn.execute(delete(groups_table).where(groups_table.c.group_id == group_id))


def members(txn: Txn, group_id: str) -> list[str]:
    """The venIDs of a group."""
    query = select(traits.c.ven_id).where(traits.c.kind == GROUP, traits.c.value == group_id)
    return list(txn.execute(query.order_by(traits.c.ven_id).distinct()).scalars())


def sizes(txn: Txn) -> dict[str, int]:
    """How many VENs each group has; a group without any is missing."""
    query = select(traits.c.value, func.count()).where(traits.c.kind == GROUP).group_by(traits.c.value)
    return {group_id: count for group_id, count in txn.execute(query)}


# --- traits -------------------------------------------------------------------------------------------


def traits_of(txn: Txn, ven_id: str) -> list[Trait]:
    """A VEN's traits, by kind and value."""
    return [Trait(*row) for row in txn.execute(_TRAITS, {"ven_id": ven_id})]


_TRAITS = (
    select(traits.c.kind, traits.c.value, traits.c.source)
    .where(traits.c.ven_id == bindparam("ven_id"))
    .order_by(traits.c.kind, traits.c.value, traits.c.source)
)


def add_traits(txn: Txn, ven_ids: Iterable[str], found: Collection[Trait]) -> None:
    """Give each of these VENs these traits, which it may have already."""
    rows = [{"ven_id": ven_id, **attrs.asdict(trait)} for ven_id in ven_ids for trait in found]
    if rows:
        txn.execute(_ADD, rows)


_ADD = upsert(traits).on_conflict_do_nothing()


def said_of(txn: Txn, ven_ids: Collection[str], kinds: Collection[str]) -> dict[tuple[str, str], list[str]]:
    """What operators say of these VENs in these kinds: {(ven_id, kind): values}."""
    query = select(traits.c.ven_id, traits.c.kind, traits.c.value).where(
        among(traits.c.ven_id, ven_ids), traits.c.kind.in_(kinds), traits.c.source == "operator"
    )
    said: dict[tuple[str, str], list[str]] = defaultdict(list)
    for ven_id, kind, value in txn.execute(query.order_by(traits.c.value)):
        said[ven_id, kind].append(value)
    return said


def drop_traits(txn: Txn, ven_ids: Iterable[str], found: Collection[Trait]) -> None:
    """Take these traits from each of these VENs."""
    rows = [
        {"ven": ven_id, "a": trait.kind, "b": trait.value, "c": trait.source} for ven_id in ven_ids for trait in found
    ]
    if rows:
        txn.execute(_DROPPED, rows)


_DROPPED = delete(traits).where(
    traits.c.ven_id == bindparam("ven"),
    traits.c.kind == bindparam("a"),
    traits.c.value == bindparam("b"),
    traits.c.source == bindparam("c"),
)


def holders(txn: Txn, wanted: Mapping[str, Collection[str]]) -> dict[tuple[str, str], set[str]]:
    """The VENs that have each of these traits, ``{kind: values}``; what nobody has is missing."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for kind, values in wanted.items():
        if values:
            query = select(traits.c.value, traits.c.ven_id)
            for value, ven_id in txn.execute(query.where(traits.c.kind == kind, among(traits.c.value, values))):
                found[kind, value].add(ven_id)
    return found


def with_traits(txn: Txn, kind: str, values: Collection[str]) -> set[str]:
    """The VENs that have any of these traits of one kind."""
    return set().union(*holders(txn, {kind: values}).values())


def held(txn: Txn, ven_ids: Collection[str]) -> dict[tuple[str, str], set[str]]:
    """Which of these VENs have which traits, by (kind, value)."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for kind, value, ven_id in txn.execute(_HELD, {"ven_ids": parameter(ven_ids)}):
        found[kind, value].add(ven_id)
    return found


_HELD = select(traits.c.kind, traits.c.value, traits.c.ven_id).where(
    among(traits.c.ven_id, bindparam("ven_ids", type_=String))
)


# --- everybody ----------------------------------------------------------------------------------------


def known(txn: Txn, ven_ids: Collection[str]) -> set[str]:
    """Those of these venIDs that exist."""
    return set(txn.execute(select(vens.c.ven_id).where(among(vens.c.ven_id, ven_ids))).scalars())


def participants(txn: Txn, ven_ids: Collection[str] | None = None) -> dict[str, bool]:
    """The VENs, all or of these, that take part in more than reports; whether each is registered."""
    rows = txn.execute(_TAKE_PART) if ven_ids is None else txn.execute(_WHO_TAKES_PART, {"ven_ids": parameter(ven_ids)})
    return {ven_id: bool(registered) for ven_id, registered in rows}


_TAKE_PART = select(vens.c.ven_id, vens.c.registration_id.is_not(None)).where(vens.c.report_only.is_(False))
_WHO_TAKES_PART = _TAKE_PART.where(among(vens.c.ven_id, bindparam("ven_ids", type_=String)))


def elsewhere(txn: Txn, market_context: str) -> set[str]:
    """The VENs that take part in other programs than this one."""
    query = select(traits.c.ven_id).where(traits.c.kind == PROGRAM)
    return set(txn.execute(query).scalars()) - with_traits(txn, PROGRAM, [market_context])
