"""Whom an event concerns: targets, groups and what else is known of VENs, and what follows when that changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import attrs

from ..model.config import Config
from ..model.errors import InvalidData, InvalidID, Mistake, NotAllowed
from ..model.event import EiTarget
from ..model.values import ANY_URI, STRING, SimpleType, shown
from ..storage import audience, events, opts, vens
from ..storage.audience import GROUP, PROGRAM, Group, Trait
from ..storage.database import Txn
from ..storage.events import Event, Line
from .changes import NOTHING, Changes, generate_id
from .specs import EVERYBODY, URI, deadline, document

KINDS = (*(field.name for field in attrs.fields(EiTarget) if field.name not in ("ven_ids", "group_names")), PROGRAM)
"""The kinds of traits: what a target may name beside venIDs and names of groups, and ``market_contexts``."""

_NAMED = tuple(kind for kind in KINDS if kind not in (GROUP, PROGRAM))
"""The kinds of traits that VENs have of themselves."""
_VALUES: dict[str, Callable[[Any], str | None]] = {
    "service_areas": lambda place: place.id,
    "service_locations": lambda place: place.id,
    "transport_interfaces": lambda line: f"{line.point_of_receipt}>{line.point_of_delivery}",
}
"""How what a target names is written as the value of a trait, where it is no text itself: a place by its gml:id."""


def value_of(kind: str, named: Any) -> str | None:
    """The value of a trait that a target names."""
    return _VALUES[kind](named) if kind in _VALUES else named


@attrs.frozen
class Effect:
    """What a change does to a VEN: an event is "shown" to it, "withheld" from it, or "removed" (implied cancel)."""

    ven_id: str
    event_id: str
    what: str


# --- targets ------------------------------------------------------------------------------------------


def _named(txn: Txn, target: EiTarget) -> dict[str, set[str]]:
    """The traits that a target names, by kind; its groups by their IDs."""
    found = {kind: {str(value_of(kind, named)) for named in getattr(target, kind)} for kind in (GROUP, *_NAMED)}
    if target.group_names:
        found[GROUP].update(audience.named(txn, target.group_names).values())
    return {kind: values for kind, values in found.items() if values}


def check_target(txn: Txn, target: EiTarget) -> None:
    """Raise InvalidData for VENs and groups that do not exist, and places that nobody could be at."""
    mistakes = []
    for kind, known, what in (
        ("ven_ids", audience.known(txn, target.ven_ids), "VEN"),
        ("group_ids", {group.group_id for group in audience.groups(txn)} if target.group_ids else (), "group"),
        ("group_names", audience.named(txn, target.group_names), "group's name"),
    ):
        for number, value in enumerate(getattr(target, kind)):
            if value not in known:
                mistakes.append(Mistake(f"target.{kind}[{number}]", f"{shown(value)} is no {what} of this VTN"))
    for kind in _VALUES:
        for number, named in enumerate(getattr(target, kind)):
            if not value_of(kind, named):
                mistakes.append(Mistake(f"target.{kind}[{number}]", "has no gml:id, by which VENs are found"))
    if mistakes:
        raise InvalidData.of(mistakes)


def concerned(txn: Txn, target: EiTarget, market_context: str, told: Collection[str] = ()) -> set[str]:
    """The VENs that a target means, without those that take part in reports only.

    Everybody are the VENs of the market context that are registered, or were told before (``told``).
    """
    takes_part = audience.participants(txn)
    if target == EVERYBODY:
        here = {ven_id for ven_id, registered in takes_part.items() if registered}
        return (here | takes_part.keys() & set(told)) - audience.elsewhere(txn, market_context)
    found = audience.holders(txn, _named(txn, target)).values()
    return takes_part.keys() & set(target.ven_ids).union(*found)


_BUT_VENS = attrgetter(*(field.name for field in attrs.fields(EiTarget) if field.name != "ven_ids"))


class Sight:
    """What a VEN sees of targets: what concerns it, and nothing of others."""

    def __init__(self, txn: Txn, ven_id: str) -> None:
        self._txn = txn
        self._ven_id = ven_id
        self._own: set[tuple[str, str]] | None = None

    def of(self, target: EiTarget, withdrawn: bool) -> EiTarget:
        """The part of a target that this VEN sees; of one that does not mean it (any more) its own venID."""
        if target == EVERYBODY and not withdrawn:
            return target
        alone = EiTarget(ven_ids=(self._ven_id,))
        if withdrawn or self.is_plain(target):
            return alone
        own = self._traits()
        for kind in _NAMED if target.ven_ids == alone.ven_ids else ():
            # What nobody is known to have is said to the one VEN that is named: it can only be its own.
            values = {str(value_of(kind, named)) for named in getattr(target, kind)}
            others = audience.holders(self._txn, {kind: values})
            own = own | {(kind, value) for value in values if (kind, value) not in others}
        names = audience.named(self._txn, target.group_names)
        seen = EiTarget(
            ven_ids=tuple(ven_id for ven_id in target.ven_ids if ven_id == self._ven_id),
            group_names=tuple(name for name in target.group_names if (GROUP, names.get(name)) in own),
            **{
                kind: tuple(named for named in getattr(target, kind) if (kind, value_of(kind, named)) in own)
                for kind in (GROUP, *_NAMED)
            },
        )
        return alone if seen == EVERYBODY else seen

    def resources(self, named: Sequence[str]) -> tuple[str, ...]:
        """Of the resources of a baseline those that are this VEN's, or nobody's as far as is known."""
        owners = audience.holders(self._txn, {"resource_ids": named})
        here = {self._ven_id}
        return tuple(name for name in named if self._ven_id in owners.get(("resource_ids", name), here))

    @staticmethod
    def is_plain(target: EiTarget) -> bool:
        """Whether a target names nobody but VENs, so that what is known of them makes no difference."""
        return not any(_BUT_VENS(target))

    def _traits(self) -> set[tuple[str, str]]:
        if self._own is None:
            self._own = {(trait.kind, trait.value) for trait in audience.traits_of(self._txn, self._ven_id)}
        return self._own


# --- lines of the ledger ------------------------------------------------------------------------------


def new_lines(txn: Txn, event: Event, ven_ids: Collection[str], now: datetime, **more: Any) -> list[dict[str, Any]]:
    """Lines of the ledger for the version of an event that these VENs are to be told; ``more`` of its columns.

    What VENs opted by oadrCreateOpt stands from version to version (rule 206).
    """
    due = deadline(document(event.document).active_period.properties)
    line = {
        "event_id": event.event_id,
        "modification_number": event.modification_number,
        "state": "queued",
        "wants": "answer" if event.response_required == "always" else "delivery",
        "deadline": due if due and due > now else None,
        "shown_until": events.shown_until(event),
        "queued_at": now,
        **more,
    }
    standing = opts.standing(txn, event.event_id, ven_ids)
    return [{"ven_id": ven_id, "opt_type": standing.get(ven_id), **line} for ven_id in ven_ids]


def _overlap(held: Event, event: Event, now: datetime) -> bool:
    """Whether a VEN that holds one event cannot have the other, too (one at a time in a market context)."""
    return (
        held.market_context == event.market_context
        and (held.ends_at is None or held.ends_at > max(event.dtstart, now))
        and (event.ends_at is None or held.dtstart < event.ends_at)
    )


def free_at(ends: Iterable[datetime | None]) -> datetime | None:
    """When a VEN has room for an event again; None: when it hears that another one is over."""
    last = list(ends)
    return None if None in last else max(end for end in last if end)


def reconcile(txn: Txn, ven_ids: Collection[str], now: datetime) -> tuple[list[Effect], frozenset[str]]:
    """Make what VENs are told fit whom the running events mean now; what happens, and to whom.

    Who joins gets the event, unless it holds another of its market context then: from that VEN it is
    withheld.  Who leaves gets the implied cancel.  VENs that take part in reports only are left alone.
    """
    running = events.running(txn, now)
    if not running:
        return [], frozenset()
    takes_part = audience.participants(txn, ven_ids)
    traits = audience.held(txn, takes_part)
    in_programs = set[str]().union(*(found for (kind, _), found in traits.items() if kind == PROGRAM))
    lines: dict[str, dict[str, Line]] = defaultdict(dict)
    for line in events.lines_of(txn, takes_part, now):
        lines[line.event_id][line.ven_id] = line
    effects: list[Effect] = []
    joining: list[tuple[Event, set[str]]] = []
    busy: dict[str, list[Event]] = defaultdict(list)
    for event in running:
        there = lines[event.event_id]
        holding = {ven_id for ven_id, line in there.items() if not line.withdrawn}
        if event.for_everyone:
            elsewhere = in_programs - traits.get((PROGRAM, event.market_context), set())
            meant = {ven_id for ven_id, here in takes_part.items() if here or ven_id in holding} - elsewhere
        else:
            target = document(event.document).target
            wanted = _named(txn, target) if traits else {}
            named = [traits.get((kind, value), set()) for kind, values in wanted.items() for value in values]
            meant = takes_part.keys() & set(target.ven_ids).union(*named)
        for ven_id in holding & meant:
            busy[ven_id].append(event)
        if leaving := holding - meant:
            events.remove_lines(txn, event, leaving, now)
            effects += [Effect(ven_id, event.event_id, "removed") for ven_id in sorted(leaving)]
        if over := [line.ven_id for line in there.values() if line.state == "withheld" and line.ven_id not in meant]:
            events.withhold_no_longer(txn, event, over)
        if event.ends_at is None or event.ends_at > now:
            joining.append((event, meant - holding))
    told: list[dict[str, Any]] = []
    for event, found in joining:
        shown_to = []
        for ven_id in sorted(found):
            before = lines[event.event_id].get(ven_id)
            in_the_way = [held.ends_at for held in busy[ven_id] if _overlap(held, event, now)]
            if not in_the_way:
                busy[ven_id].append(event)
                shown_to.append(ven_id)
                continue
            again = free_at(in_the_way)
            if before is None or before.state != "withheld":
                effects.append(Effect(ven_id, event.event_id, "withheld"))
            if before and before.told and not before.removed:
                events.remove_lines(txn, event, [ven_id], now)  # it was shown as cancelled; what is withheld is not
            if before is None or (before.state, before.deadline) != ("withheld", again):
                events.withhold(txn, withheld_lines(txn, event, [ven_id], now, again))
        told += new_lines(txn, event, shown_to, now)
        effects += [Effect(ven_id, event.event_id, "shown") for ven_id in shown_to]
    events.write_lines(txn, told)
    return effects, frozenset(effect.ven_id for effect in effects)


def withheld_lines(
    txn: Txn, event: Event, ven_ids: Collection[str], now: datetime, again: datetime | None, **more: Any
) -> list[dict[str, Any]]:
    """Lines that say that an event is withheld until VENs have room for it."""
    aside = {"state": "withheld", "wants": "nothing", "withdrawn": True, "deadline": again, "opt_type": None}
    return new_lines(txn, event, ven_ids, now, **{**aside, **more})


def make_room(txn: Txn, market_contexts: Iterable[str], now: datetime) -> frozenset[str]:
    """Look again at what is withheld in these market contexts, where an event ended or moved; who changed."""
    waiting = set[str]().union(*(events.withheld_from(txn, now, context) for context in set(market_contexts)))
    return reconcile(txn, waiting, now)[1] if waiting else frozenset()


def release(txn: Txn, config: Config, now: datetime) -> tuple[None, Changes]:
    """Tell VENs of events that were withheld from them, now that those in the way are over."""
    waiting = events.withheld_from(txn, now)
    changed = reconcile(txn, waiting, now)[1] if waiting else frozenset[str]()
    events.forget_withheld(txn, now)
    return None, Changes(changed)


# --- what operators say of VENs -----------------------------------------------------------------------


def _reconciled(txn: Txn, ven_ids: Collection[str], now: datetime) -> tuple[list[Effect], Changes]:
    effects, changed = reconcile(txn, ven_ids, now)
    return effects, Changes(changed)


def _known_group(txn: Txn, group_id: str) -> Group:
    group = audience.group(txn, group_id)
    if group is None:
        raise InvalidID.at("group_id", f"{shown(group_id)} is no group of this VTN")
    return group


def misfits(place: str, values: Iterable[str], simple_type: SimpleType = STRING) -> list[Mistake]:
    """Texts that are empty, or that no message could carry; of URIs also what no event could have, and so excludes."""
    mistakes = []
    for number, value in enumerate(values):
        at = place.format(number)
        try:
            if not simple_type.write(value).strip():
                mistakes.append(Mistake(at, "is empty"))
            elif simple_type is ANY_URI and not URI.fullmatch(value):
                mistakes.append(Mistake(at, f"{shown(value)} is not a URI"))
        except ValueError as error:
            mistakes.append(Mistake(at, str(error)))
    return mistakes


def _check_vens(txn: Txn, place: str, ven_ids: Sequence[str]) -> list[Mistake]:
    known = audience.known(txn, ven_ids)
    return [
        Mistake(f"{place}[{number}]", f"{shown(ven_id)} is no VEN of this VTN")
        for number, ven_id in enumerate(ven_ids)
        if ven_id not in known
    ]


def _check_name(txn: Txn, group_id: str, name: str) -> None:
    if mistakes := misfits("name", [name]):
        raise InvalidData.of(mistakes)
    if audience.named(txn, [name]).get(name, group_id) != group_id:
        raise NotAllowed.at("name", f"{shown(name)} is the name of another group")


def _check_unused(txn: Txn, place: str, field: str, value: str, now: datetime) -> None:
    for event in events.running(txn, now):
        if value in getattr(document(event.document).target, field):
            raise NotAllowed.at(place, f"event {event.event_id!r} has the group as a target: change or cancel it first")


def create_group(
    txn: Txn, group_id: str | None, name: str, ven_ids: Sequence[str], now: datetime
) -> tuple[Group, Changes]:
    """Make a group of VENs; without a ``group_id`` it gets one."""
    group_id = group_id or generate_id("group-")
    if mistakes := [*misfits("group_id", [group_id]), *_check_vens(txn, "ven_ids", ven_ids)]:
        raise InvalidData.of(mistakes)
    if audience.group(txn, group_id):
        raise NotAllowed.at("group_id", f"{shown(group_id)} exists")
    _check_name(txn, group_id, name)
    group = Group(group_id, name, now)
    audience.put_group(txn, group)
    audience.add_traits(txn, ven_ids, [Trait(GROUP, group_id, "operator")])
    return group, NOTHING


def rename_group(txn: Txn, group_id: str, name: str, now: datetime) -> tuple[Group, Changes]:
    """Give a group another name; raises NotAllowed while a running event names it by the old one."""
    group = _known_group(txn, group_id)
    _check_name(txn, group_id, name)
    if name != group.name:
        _check_unused(txn, "name", "group_names", group.name, now)
        group = attrs.evolve(group, name=name)
        audience.put_group(txn, group)
    return group, NOTHING


def delete_group(txn: Txn, group_id: str, now: datetime) -> tuple[None, Changes]:
    """Forget a group; raises NotAllowed while a running event has it as a target."""
    group = _known_group(txn, group_id)
    _check_unused(txn, "group_id", "group_ids", group_id, now)
    _check_unused(txn, "group_id", "group_names", group.name, now)
    audience.drop_traits(txn, audience.members(txn, group_id), [Trait(GROUP, group_id, "operator")])
    audience.drop_group(txn, group_id)
    return None, NOTHING


def change_members(
    txn: Txn, group_id: str, add: Sequence[str], remove: Sequence[str], now: datetime
) -> tuple[list[Effect], Changes]:
    """Take VENs into a group and out of it; what that does to them."""
    _known_group(txn, group_id)
    return _give(txn, Trait(GROUP, group_id, "operator"), add, remove, now)


def _give(
    txn: Txn, trait: Trait, add: Sequence[str], remove: Sequence[str], now: datetime
) -> tuple[list[Effect], Changes]:
    """Give VENs a trait, and take it from others; what that does to them."""
    if mistakes := [*_check_vens(txn, "add", add), *_check_vens(txn, "remove", remove)]:
        raise InvalidData.of(mistakes)
    audience.drop_traits(txn, remove, [trait])
    audience.add_traits(txn, add, [trait])
    return _reconciled(txn, {*add, *remove}, now)


def change_participants(
    txn: Txn, market_context: str, add: Sequence[str], remove: Sequence[str], now: datetime
) -> tuple[list[Effect], Changes]:
    """Have VENs take part in a market context, or no longer; what that does to them.

    Who is taken out of the last one takes part in all, as a VEN does of which nothing was said.  Raises InvalidID
    for what is no URI.
    """
    if mistakes := misfits("market_context", [market_context], ANY_URI if add else STRING):
        raise InvalidID.of(mistakes)
    return _give(txn, Trait(PROGRAM, market_context, "operator"), add, remove, now)


def set_traits(
    txn: Txn, ven_id: str, traits: Mapping[str, Sequence[str]], now: datetime, source: str = "operator"
) -> tuple[list[Effect], Changes]:
    """Say what a VEN may be targeted by, for the kinds given; what that does to it.

    A ``source`` replaces only what it said before.  Groups have a way of their own (``change_members``).
    """
    if vens.get(txn, ven_id) is None:
        raise InvalidID.at("ven_id", f"{shown(ven_id)} is no VEN of this VTN")
    mistakes = []
    for kind, values in traits.items():
        if kind not in KINDS or kind == GROUP:
            mistakes.append(Mistake(kind, "is no kind of target", tuple(kind for kind in KINDS if kind != GROUP)))
        mistakes += misfits(f"{kind}[{{}}]", values, ANY_URI if kind == PROGRAM else STRING)
    if mistakes:
        raise InvalidData.of(mistakes)
    wanted = {Trait(kind, value, source) for kind, values in traits.items() for value in values}
    present = {trait for trait in audience.traits_of(txn, ven_id) if trait.source == source and trait.kind in traits}
    if wanted == present:
        return [], NOTHING
    audience.drop_traits(txn, [ven_id], present - wanted)
    audience.add_traits(txn, [ven_id], wanted - present)
    return _reconciled(txn, [ven_id], now)
