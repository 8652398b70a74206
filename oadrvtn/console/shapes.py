"""JSON and back: what bodies and queries of the API mean, all their mistakes told at once; how values are shown.

Instants are ISO 8601 in UTC, durations ISO 8601 ("PT15M") or short ("15m", "1h30m"); where an instant is read
it may be relative: "now", "+5m", "-1h".
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import (
    Any,
    Literal,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import attrs
from cattrs import Converter
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import AttributeOverride, make_dict_structure_fn, make_dict_unstructure_fn, override

from ..model.config import NotAmong, WantedReport, did_you_mean
from ..model.errors import InvalidData, Mistake, VtnError
from ..model.event import (
    ITEM_BASES,
    EiEventBaseline,
    EiTarget,
    Interval,
    ItemBase,
    PayloadFloat,
    SignalPayload,
)
from ..model.values import STRING, Duration, read_instant, shown, write_instant
from ..security import fingerprint
from ..security.certificates import Description, read_pem
from ..vtn.specs import EventSpec

T = TypeVar("T")

MOST_READINGS = 100_000
MOST_ROWS = 1000
"""So many a page of a list may have."""

Name = NewType("Name", str)
"""A text that says something."""
Fingerprint = NewType("Fingerprint", bytes)
Pem = NewType("Pem", Description)
"""A certificate in PEM, of which is read what it says."""
Flag = NewType("Flag", bool)
"""A yes or no in a query."""
Seconds = NewType("Seconds", float)
"""A duration, or its seconds as a number, also as it stands in a query or a file."""
Limit = NewType("Limit", int)
"""How many, in a query."""
Period = NewType("Period", int)
"""A length of time in microseconds, in a query: a second or more."""
PageSize = NewType("PageSize", int)
"""How many a page of a list has."""
ByName = NewType("ByName", tuple[str])
"""Behind which text a page begins; like the others a cursor: what ``next`` said."""
ByNumber = NewType("ByNumber", tuple[int])
"""Before or behind which number."""
ByTime = NewType("ByTime", tuple[int, str])
"""Before which moment, in microseconds, and which text of the same one."""
ByPoint = NewType("ByPoint", tuple[int, str, str])
"""Before which moment, which data point and which request (or unit) of the same one."""

NO = Flag(False)
NO_TIME = Seconds(0)
A_HUNDRED = PageSize(100)
A_THOUSAND = Limit(1000)
THE_FIRST = ByNumber((0,))
TEN_THOUSAND = Limit(10_000)

Value = tuple[Duration, float]
"""An interval of a signal: its length and its value."""


# --- what is asked ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Nothing:
    """A body or a query that says nothing."""


attrs.resolve_types(EventSpec)
_CHANGEABLE: dict[str, Any] = {f.name: f.type for f in attrs.fields(EventSpec) if f.name != "event_id"}
EventChanges = attrs.make_class(
    "EventChanges",
    {
        name: attrs.field(type=of, default=None)
        for name, of in {**_CHANGEABLE, "modification_number": int | None, "level": float}.items()
    },
    kw_only=True,
    frozen=True,
)
"""Fields of EventSpec, of which those count that are given."""

_EVENTS = (EventSpec, EventChanges)
SHORT = {"level": "value", "signal_name": "signal_name", "signal_type": "signal_type"}
"""The short form of an event, beside its ``duration``, and what its keys are of the one interval or signal."""


@attrs.frozen(kw_only=True)
class _Interval:
    duration: Duration
    value: float


@attrs.frozen(kw_only=True)
class _Baseline:
    """A baseline with the intervals of a signal."""

    baseline_id: str
    baseline_name: str
    dtstart: datetime
    duration: Duration
    intervals: tuple[Value, ...]
    resource_ids: tuple[str, ...] = ()
    item_base: ItemBase | None = None


INTERVAL, BASELINE = _Interval, _Baseline
"""In which form intervals of signals and baselines are read."""


# --- values -------------------------------------------------------------------------------------------

_SHORT_DURATION = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def _seen(raw: object) -> str:
    """A value as it stands in the body, cut: a text in quotes, 5 and null without."""
    return shown(raw) if isinstance(raw, str) else shown(json.dumps(raw, default=str))[1:-1]


def read_duration(raw: object) -> Duration:
    """A duration that is not negative: "PT15M", "15m", "1h30m"; ValueError says what is wrong with it."""
    if not isinstance(raw, str):
        raise ValueError(f'{_seen(raw)} is not a duration such as "15m" or "PT15M"')
    if found := _SHORT_DURATION.fullmatch(raw):
        days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
        try:
            return Duration.of(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))
        except OverflowError:
            raise ValueError(f"{shown(raw)} is longer than a VTN can count") from None
    try:
        duration = Duration(raw)
    except ValueError as error:
        raise ValueError(f"{error} or 15m") from None
    if duration.months < 0 or duration.fixed < timedelta():
        raise ValueError(f"{shown(raw)} is negative")
    return duration


def read_time(raw: object, now: datetime) -> datetime:
    """An instant in UTC: ISO 8601 with a time zone, or relative to this moment; ValueError says what is wrong."""
    complaint = f'{_seen(raw)} is not a time such as "2026-01-31T12:00:00Z", "now", "+5m" or "-1h"'
    if not isinstance(raw, str):
        raise ValueError(complaint)
    now = now.replace(microsecond=0)
    try:
        if raw == "now":
            return now
        if raw[:1] == "+":
            return read_duration(raw[1:]).after(now)
        if raw[:1] == "-":
            return now - (read_duration(raw[1:]).after(now) - now)
        if raw.endswith("Z"):
            return read_instant(raw)
        time = datetime.fromisoformat(raw)
        if time.tzinfo is None:
            raise ValueError(f"{shown(raw)} has no time zone: put a Z behind a time in UTC")
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{shown(raw)} is no time of the calendar") from None
    except ValueError as error:
        raise ValueError(complaint if "isoformat" in str(error) else str(error)) from None


def _string(raw: object, _: object = None) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{_seen(raw)} is not a text")
    return STRING.write(raw)


def _name(raw: object, _: object) -> str:
    if not _string(raw).strip():
        raise ValueError("is empty")
    return _string(raw)


def _whole(raw: object, _: object) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool):
        raise ValueError(f"{_seen(raw)} is not a whole number")
    return raw


def _number(raw: object, _: object) -> float:
    if not isinstance(raw, int | float) or isinstance(raw, bool) or not abs(raw) < math.inf:
        raise ValueError(f"{_seen(raw)} is not a number")
    return float(raw)


_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


def _seconds(raw: object, _: object) -> float:
    if not isinstance(raw, str):
        return _number(raw, None)
    if _PLAIN.fullmatch(raw):
        return float(raw)
    duration = read_duration(raw)
    if duration.months:
        raise ValueError(f"{shown(raw)} is longer in some months than in others")
    return duration.fixed.total_seconds()


def _period(raw: object, _: object) -> int:
    seconds = _seconds(raw, None)
    if seconds < 1:
        raise ValueError(f"{shown(raw)} is shorter than a second")
    return round(seconds * 1_000_000)


def _decimal(raw: object, _: object) -> Decimal:
    try:
        return Decimal(raw if isinstance(raw, str) else str(_number(raw, None)))
    except InvalidOperation:
        raise ValueError(f"{shown(raw)} is not a number") from None


def _truth(raw: object, _: object) -> bool:
    if not isinstance(raw, bool):
        raise ValueError(f"{_seen(raw)} is neither true nor false")
    return raw


def _choice(raw: object, of: Any) -> object:
    if raw not in (allowed := get_args(of)):
        raise InvalidData.at("", f"{_seen(raw)} is none of {', '.join(allowed)}", allowed)
    return raw


def _flag(raw: object, _: object) -> bool:
    flags = {"1": True, "true": True, "": True, "0": False, "false": False}
    if raw not in flags:
        raise ValueError(f"{shown(raw)} is neither 1 nor 0")
    return flags[str(raw)]


def _limit(most: int) -> Callable[[object, object], int]:
    def read(raw: object, _: object) -> int:
        if not isinstance(raw, str) or not re.fullmatch("[0-9]{1,6}", raw) or not 1 <= int(raw) <= most:
            raise ValueError(f"{shown(raw)} is not a whole number from 1 to {most}")
        return int(raw)

    return read


KEYS: dict[Any, tuple[type, ...]] = {ByName: (str,), ByNumber: (int,), ByTime: (int, str), ByPoint: (int, str, str)}
"""What a cursor of each kind holds."""


def write_cursor(key: tuple[Any, ...]) -> str:
    """A key as a word that means something to this VTN alone."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _cursor(kinds: tuple[type, ...]) -> Callable[[object, object], tuple[Any, ...]]:
    def read(raw: object, _: object) -> tuple[Any, ...]:
        try:
            key = json.loads(base64.urlsafe_b64decode(f"{raw}==".encode("ascii")))
            if isinstance(key, list) and tuple(map(type, key)) == kinds:
                return tuple(_string(part) if isinstance(part, str) else _moment(part) for part in key)
        except (ValueError, RecursionError):
            pass
        raise ValueError(f"{shown(raw)} is not what the page before said as next")

    return read


def _moment(number: int) -> int:
    if abs(number) >= 2**63:
        raise ValueError("is beyond all time")
    return number


def _fingerprint(raw: object, _: object) -> bytes:
    return fingerprint.parse(_string(raw))


def _pem(raw: object, _: object) -> Description:
    return read_pem(_string(raw))


def _list(raw: object) -> list[Any]:
    if not isinstance(raw, list):
        raise ValueError(f"{_seen(raw)} is not a list")
    return raw


def _object(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError(f"{_seen(raw)} is not an object")
    return raw


# --- reading ------------------------------------------------------------------------------------------


def _is_list(of: Any) -> bool:
    return get_origin(of) is tuple and get_args(of)[1:] == (...,)


def _reader(read: Any) -> AttributeOverride:
    return override(struct_hook=lambda raw, _: read(raw))


def _is_choice(of: Any) -> bool:
    return get_origin(of) is Literal


class Reader:
    """Reads JSON into the classes above and into EventSpec; ``now`` tells what relative times are relative to."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._converter = converter = Converter(detailed_validation=True)
        hooks: dict[Any, Callable[[Any, Any], Any]] = {
            str: _string,
            int: _whole,
            float: _number,
            bool: _truth,
            Decimal: _decimal,
            Duration: lambda raw, _: read_duration(raw),
            datetime: lambda raw, _: read_time(raw, now()),
            Name: _name,
            Seconds: _seconds,
            Fingerprint: _fingerprint,
            Pem: _pem,
            Flag: _flag,
            Period: _period,
            Limit: _limit(MOST_READINGS),
            PageSize: _limit(MOST_ROWS),
            **{kind: _cursor(kinds) for kind, kinds in KEYS.items()},
        }
        converter.register_structure_hook_factory(attrs.has, self._class_hook)
        converter.register_structure_hook_factory(_is_list, self._list_hook)
        for cls, hook in hooks.items():
            converter.register_structure_hook(cls, hook)
        converter.register_structure_hook_func(_is_choice, _choice)
        converter.register_structure_hook_func(lambda cls: cls == Value, self._interval)
        converter.register_structure_hook_func(lambda cls: cls is ItemBase, self._item_base)
        converter.register_structure_hook_func(lambda cls: cls is EiEventBaseline, self._baseline)

    def read(self, cls: type[T], raw: object) -> T:
        """What a body says, all its mistakes told at once; an event also in the short form.  Raises InvalidData.

        The short form has a ``level`` for the whole ``duration`` in place of ``signals``.
        """
        try:
            return self._converter.structure(_expanded(cls, raw), cls)
        except (ClassValidationError, ValueError, InvalidData) as error:
            raise in_its_words(cls, raw, InvalidData.of(_mistakes(error))) from None

    def given(self, cls: type, raw: object) -> dict[str, Any]:
        """What a body says, of the fields that it names.  Raises InvalidData."""
        read: object = self.read(cls, raw)
        return {name: getattr(read, name) for name in _expanded(cls, raw)}

    def many(self, cls: type[T], raw: object) -> tuple[list[T | None], list[Mistake]]:
        """What each object of a list says, None for one that cannot be read; and all mistakes.  Raises InvalidData."""
        if not isinstance(raw, list):
            raise InvalidData(f"{_seen(raw)} is not a list")
        found: list[T | None] = []
        mistakes: list[Mistake] = []
        for number, each in enumerate(raw):
            try:
                found.append(self._converter.structure(each, cls))
            except (ClassValidationError, ValueError) as error:
                found.append(None)
                mistakes += _mistakes(error, f"[{number}]")
        return found, mistakes

    def _class_hook(self, cls: type) -> Callable[[Any, Any], Any]:
        # What the configuration knows is read as it is there.
        own = {field.name: _reader(field.converter) for field in attrs.fields(cls)} if cls is WantedReport else {}
        read: Callable[[Any, Any], Any] = make_dict_structure_fn(
            cls,
            self._converter,
            _cattrs_forbid_extra_keys=True,
            **own,  # type: ignore[arg-type]
        )
        return lambda raw, _: read(_object(raw), cls)

    def _list_hook(self, of: Any) -> Callable[[Any, Any], Any]:
        each: Any = list.__class_getitem__(get_args(of)[0])
        return lambda raw, _: tuple(self._converter.structure(_list(raw), each))

    def _interval(self, raw: object, _: object) -> Value:
        interval = self._converter.structure(raw, _Interval)
        return interval.duration, interval.value

    def _item_base(self, raw: object, _: object) -> ItemBase:
        fields = dict(_object(raw))
        name = str(fields.pop("name", None))
        if name not in _ITEM_BASES:
            raise InvalidData.at("name", f"{shown(name)} is none of {', '.join(_ITEM_BASES)}", _ITEM_BASES)
        cls = _ITEM_BASES[name]
        if "si_scale_code" in attrs.fields_dict(cls):
            fields.setdefault("si_scale_code", "none")
        return self._converter.structure(fields, cls)

    def _baseline(self, raw: object, _: object) -> EiEventBaseline:
        baseline = self._converter.structure(raw, _Baseline)
        intervals = tuple(
            Interval(duration=length, uid=str(uid), payloads=(SignalPayload(payload=PayloadFloat(value=value)),))
            for uid, (length, value) in enumerate(baseline.intervals)
        )
        return EiEventBaseline(**attrs.asdict(baseline, recurse=False) | {"intervals": intervals})


_ITEM_BASES = {cls.tag.partition(":")[2]: cls for cls in ITEM_BASES}
ITEM_BASE_NAMES = tuple(_ITEM_BASES)


def _is_short(raw: object) -> bool:
    return isinstance(raw, dict) and bool(raw.keys() & SHORT) and "signals" not in raw


def _expanded(cls: object, raw: Any) -> Any:
    """The short form of an event written out: its level is the value of one signal's one interval.

    A level that is to be changed alone stays what it is.
    """
    if cls not in _EVENTS or not _is_short(raw):
        return raw
    if cls is EventChanges and raw.keys() & {*SHORT, "duration"} == {"level"}:
        return raw
    rest = {name: value for name, value in raw.items() if name not in SHORT}
    interval = {SHORT["level"]: raw["level"]} if "level" in raw else {}
    if "duration" in raw:
        interval["duration"] = raw["duration"]
    signal = {name: raw[name] for name in SHORT if name in raw and name != "level"}
    return rest | {"signals": [signal | {"intervals": [interval]}]}


def in_its_words(cls: object, raw: object, error: VtnError) -> VtnError:
    """What is refused of a body; of an event, at the places of the form in which it was given."""
    if cls not in _EVENTS or not _is_short(raw) or not error.mistakes:
        return error
    return error.of(attrs.evolve(mistake, place=_LONG.sub(_in_short, mistake.place)) for mistake in error.mistakes)


_LONG = re.compile(r"^signals\[0](?:\.intervals\[0])?(?:\.(.*))?")


def _in_short(place: re.Match[str]) -> str:
    return {None: "level", "value": "level", "intervals": "duration"}.get(place[1], place[1])


def _mistakes(error: BaseException, place: str = "") -> Iterator[Mistake]:
    """What a refusal holds, each at its place."""
    if isinstance(error, ClassValidationError):
        fields, rest = error.group_exceptions()
        for each, field in fields:
            yield from _mistakes(each, _within(place, field.name))
        for other in rest:
            yield from _mistakes(other, place)
    elif isinstance(error, IterableValidationError):
        for each, item in error.group_exceptions()[0]:
            yield from _mistakes(each, f"{place}[{item.index}]")
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl) if field.init]
        if error.cl in _EVENTS:
            known = list(dict.fromkeys([*known, *SHORT]))
        for name in sorted(error.extra_fields):
            where = _within(place, name) if name.isidentifier() else place
            twice = error.cl in _EVENTS and name in SHORT  # it is a field, but not beside signals
            hint = " (that is said in the signals)" if twice else did_you_mean(name, known)
            yield Mistake(where, f"unknown field {shown(name)}{hint}", tuple(known))
    elif isinstance(error, VtnError):
        yield from (attrs.evolve(mistake, place=_within(place, mistake.place)) for mistake in error.mistakes)
    else:
        allowed = error.allowed if isinstance(error, NotAmong) else ()
        yield Mistake(place, "is missing" if isinstance(error, KeyError) else str(error), allowed)


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place and name else place or name


# --- showing ------------------------------------------------------------------------------------------


def show(value: Any) -> Any:
    """A value as JSON has it: an instance of an attrs class, or what stands in one.

    Of EventSpec and what it holds, this is what ``Reader`` reads.
    """
    return _shown.unstructure(value)


def without_document(row: Any) -> dict[str, Any]:
    """A row of a VEN as JSON has it, but for its XML and whose it is."""
    return {field.name: show(getattr(row, field.name)) for field in attrs.fields(type(row)) if field.name not in HIDDEN}


HIDDEN = ("document", "ven_id")
"""What ``without_document`` leaves out."""


def _show_item_base(cls: type) -> Callable[[Any], dict[str, Any]]:
    name = cls.tag.partition(":")[2]  # type: ignore[attr-defined]
    fields: Callable[[Any], dict[str, Any]] = make_dict_unstructure_fn(cls, _shown)
    return lambda value: {"name": name, **fields(value)}


def _show_target(cls: type) -> Callable[[Any], dict[str, Any]]:
    return make_dict_unstructure_fn(cls, _shown, _cattrs_omit_if_default=True)


def _show_baseline(baseline: EiEventBaseline) -> Any:
    values = attrs.asdict(baseline, recurse=False)
    intervals: Any = baseline.intervals
    values["intervals"] = tuple((i.duration or Duration("PT0S"), i.payloads[0].payload.value) for i in intervals)
    return show(_Baseline(**values))


_shown = Converter()
_shown.register_unstructure_hook(datetime, write_instant)
_shown.register_unstructure_hook(Duration, str)
_shown.register_unstructure_hook(Decimal, lambda value: show(float(value)))
_shown.register_unstructure_hook(float, lambda value: value if math.isfinite(value) else None)
_shown.register_unstructure_hook_func(
    lambda cls: cls == Value, lambda interval: {"duration": str(interval[0]), "value": interval[1]}
)
_shown.register_unstructure_hook(EiEventBaseline, _show_baseline)
_shown.register_unstructure_hook_func(lambda cls: cls is ItemBase, show)
_shown.register_unstructure_hook_factory(lambda cls: cls is EiTarget, _show_target)
_shown.register_unstructure_hook_factory(lambda cls: cls in ITEM_BASES, _show_item_base)


# --- the shapes of what is shown ----------------------------------------------------------------------


_make: Any = TypedDict  # of what is known at run time only


def shape(name: str, *of: Any, without: Collection[str] = (), maybe: Collection[str] = (), **more: Any) -> Any:
    """What answers look like, for the description: the fields of what is shown, and ``more``.

    ``of`` are attrs classes, shapes, or kinds by names; of their fields some may be left out.  Those that ``maybe``
    names are not in every answer.
    """
    fields: dict[str, Any] = {}
    for each in of:
        fields |= each if isinstance(each, dict) else fields_of(each)
    fields = {field: kind for field, kind in fields.items() if field not in without} | more
    return _make(name, {field: NotRequired[kind] if field in maybe else kind for field, kind in fields.items()})


def fields_of(cls: Any) -> dict[str, Any]:
    """The fields of an attrs class or a shape, with their kinds."""
    hints = get_type_hints(cls)
    if is_typeddict(cls):
        return hints
    return {field.name: hints.get(field.name, field.type) for field in attrs.fields(cls)}


def many(of: Any) -> Any:
    """The kind of a list of these."""
    return tuple.__class_getitem__((of, ...))


def by_name(of: Any) -> Any:
    """The kind of an object that has one of these under each of its names."""
    return dict.__class_getitem__((str, of))


def page_of(name: str, row: Any, **more: Any) -> Any:
    """The shape of a page of a list."""
    return shape(f"{row.__name__}Page", **more, **{name: many(row)}, next=str | None)
