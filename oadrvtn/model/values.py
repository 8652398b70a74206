"""Values that OpenADR writes as text: each simple type reads a text strictly and writes it back in one form.

A ``SimpleType`` names a type of the schema.  ``read`` takes the text of an element or attribute and
returns the Python value, or raises ValueError with a text that completes "<place>: ..."; ``write`` is
its inverse and refuses what the schema would refuse.  Instants are aware datetimes in UTC (rule 1).
"""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Callable, Iterable
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import attrs

WHITE = " \t\r\n"
"""White space of XML, which is less than that of Python."""
_WHITES = re.compile(f"[{WHITE}]+")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def shown(text: object, limit: int = 60) -> str:
    """A text of the peer, quoted, escaped and cut, fit for an answer or a log line."""
    text = str(text)
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


@attrs.frozen
class SimpleType:
    """A simple type of the schema: how its text is read and written, and the choices of an enumeration.

    ``plain``: the form that most texts have, as a pattern, and what reads it, a builtin.
    """

    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    choices: tuple[str, ...] = ()
    plain: tuple[str, Callable[[str], Any]] | None = None
    _plains: re.Pattern[str] | None = attrs.field(init=False, repr=False)

    @_plains.default
    def _compiled(self) -> re.Pattern[str] | None:
        return re.compile(f"(?:{self.plain[0]}\n)+") if self.plain else None

    def read_all(self, texts: Iterable[str]) -> Iterable[Any]:
        """The values of texts; raises ValueError as ``read`` does, at once or when they are gone through."""
        if self.plain and self._plains and self._plains.fullmatch("\n".join((*texts, ""))):
            return map(self.plain[1], texts)  # which refuses what is more than one line, or in no calendar
        return map(self.read, texts)


# --- texts ----------------------------------------------------------------------------------------


def _write_string(value: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a text")
    if found := _NOT_XML.search(value):
        raise ValueError(f"the character U+{ord(found[0]):04X} cannot be written in XML")
    return value


STRING = SimpleType("string", str, _write_string)


def _collapsed(text: str) -> str:
    return _WHITES.sub(" ", text).strip(" ")


def _restricted(name: str, accepts: Callable[[str], object], complaint: str, token: bool = True) -> SimpleType:
    """A type whose value is its own text, if ``accepts`` finds it good; a token has its white space collapsed."""

    def read(text: str) -> str:
        value = _collapsed(text) if token else text
        if not accepts(value):
            raise ValueError(f"{shown(text)} {complaint}")
        return value

    return SimpleType(name, read, lambda value: read(_write_string(value)))


_EXTENSION = re.compile("x-[^ ].*")


def choice(name: str, *values: str, extensible: bool = False, token: bool = True) -> SimpleType:
    """An enumeration; an ``extensible`` one also takes ``x-...`` (EiExtensionTokenType)."""
    known = frozenset(values)
    complaint = "is not one of " + ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")
    if extensible:
        complaint += " or x-..."

    def read(text: str) -> str:
        if text in known:
            return text
        value = _collapsed(text) if token else text
        if value in known or (extensible and _EXTENSION.fullmatch(value)):
            return value
        raise ValueError(f"{shown(text)} {complaint}")

    return SimpleType(name, read, lambda value: read(_write_string(value)), values)


# The schema's anyURI takes nearly every text: not a broken %-escape, a second "#", or a first segment with a
# colon that is no scheme.  These are searched for; to match what is good takes 100 bytes for each character.
_NOT_URI = re.compile(r"%(?![0-9A-Fa-f]{2})|#[^#]*#|\A(?![A-Za-z][A-Za-z0-9+.-]*:)[^/?#]*:")
ANY_URI = _restricted("anyURI", lambda text: not _NOT_URI.search(text), "is not a URI")
_LETTERS = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_ID = re.compile(f"[{_LETTERS}][{_LETTERS}\\-.0-9\xb7\u0300-\u036f\u203f\u2040]*")
ID = _restricted("ID", _ID.fullmatch, "is not an XML ID")
RESPONSE_CODE = _restricted(
    "ResponseCodeType", re.compile("[0-9]{3}").fullmatch, "is not a response code of three digits", token=False
)


# --- numbers --------------------------------------------------------------------------------------

_WHOLE = re.compile(r"\+?([0-9]+)|-0+")


def _whole(name: str, top: int) -> SimpleType:
    longest = len(str(top))

    def read(text: str) -> int:
        found = _WHOLE.fullmatch(text.strip(WHITE))
        if not found:
            raise ValueError(f"{shown(text)} is not a whole number")
        digits = (found[1] or "").lstrip("0") or "0"
        if len(digits) > longest or (value := int(digits)) > top:
            raise ValueError(f"{shown(text)} is larger than {top}")
        return value

    def write(value: int) -> str:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= top:
            raise ValueError(f"{shown(value)} is not a whole number from 0 to {top}")
        return str(value)

    return SimpleType(name, read, write)


UNSIGNED_INT = _whole("unsignedInt", 2**32 - 1)
CONFIDENCE = _whole("ConfidenceType", 100)

_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_FLOAT = re.compile(_DECIMAL.pattern + r"([eE][+-]?[0-9]+)?")
_FLOAT_NAMES = {"INF": math.inf, "-INF": -math.inf, "NaN": math.nan}


def _read_float(text: str) -> float:
    # float() and Decimal() take all that the schema takes, and some more, which the pattern keeps out.
    value = text.strip(WHITE)
    if _FLOAT.fullmatch(value):
        return float(value)
    if value in _FLOAT_NAMES:
        return _FLOAT_NAMES[value]
    raise ValueError(f"{shown(text)} is not a number")


def _write_float(value: float) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{shown(value)} is too large") from None
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "INF" if number > 0 else "-INF"


FLOAT = SimpleType("float", _read_float, _write_float, plain=(r"-?[0-9]+(?:\.[0-9]+)?", float))


def _read_floats(text: str) -> tuple[float, ...]:
    return tuple(_read_float(item) for item in _WHITES.split(text.strip(WHITE)) if item)


def _write_floats(value: tuple[float, ...]) -> str:
    if not isinstance(value, tuple):
        raise ValueError(f"{shown(value)} is not a tuple of numbers")
    return " ".join(map(_write_float, value))


FLOATS = SimpleType("doubleList", _read_floats, _write_floats)


def _read_decimal(text: str) -> Decimal:
    value = text.strip(WHITE)
    if not _DECIMAL.fullmatch(value):
        raise ValueError(f"{shown(text)} is not a decimal number")
    return Decimal(value)


def _write_decimal(value: Decimal) -> str:
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value.adjusted()) > 1000:
        raise ValueError(f"{shown(value)} is not a decimal number")
    return format(value, "f")


DECIMAL = SimpleType("decimal", _read_decimal, _write_decimal)

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _read_boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.strip(WHITE)]
    except KeyError:
        raise ValueError(f"{shown(text)} is neither true nor false") from None


def _write_boolean(value: bool) -> str:
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is neither true nor false")
    return "true" if value else "false"


BOOLEAN = SimpleType("boolean", _read_boolean, _write_boolean)


# --- time -----------------------------------------------------------------------------------------

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z?")

_PLAIN = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
_PLAIN_INSTANT = re.compile(_PLAIN)


def read_instant(text: str) -> datetime:
    """A DateTimeType as an instant in UTC; without a zone it is taken as UTC, digits beyond microseconds go."""
    if _PLAIN_INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass  # it may be 24:00
    value = text.strip(WHITE)
    if not _INSTANT.fullmatch(value):
        raise ValueError(f"{shown(text)} is not a time such as 2026-01-31T12:00:00Z")
    try:
        if value[11:13] != "24":
            return datetime.fromisoformat(value.rstrip("Z") + "+00:00")
        if not value[13:].strip(":0.Z"):
            return datetime.fromisoformat(value[:10] + "T00:00:00+00:00") + timedelta(days=1)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{shown(text)} is no time of the calendar")


def write_instant(value: datetime) -> str:
    """An aware datetime as the schema writes it, in UTC, with a fraction only where there is one."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{shown(value)} is not an instant with a time zone")
    try:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        raise ValueError(f"{shown(value)} is not in the years 1 to 9999 of UTC") from None


INSTANT = SimpleType("DateTimeType", read_instant, write_instant, plain=(_PLAIN, datetime.fromisoformat))

# The alternation is the schema's own: it makes 1W valid and P1W not (which the bend week_duration mends).
_DURATION = re.compile(r"([+-])?P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?|(\d+)W")
_LONGEST_DURATION = 100
_MOST_MONTHS = 12 * 10_000


@attrs.frozen
class Duration:
    """A DurationValueType: what was written, its calendar months and its fixed part.

    A year or a month is no number of seconds, so ``months`` stays apart from ``fixed`` and only
    ``after`` gives an instant.  Two durations are equal when they were written alike.  Raises
    ValueError for a text that is no duration or longer than a VTN can count.
    """

    text: str
    months: int = attrs.field(init=False, eq=False, repr=False)
    fixed: timedelta = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        found = _DURATION.fullmatch(self.text)
        if not found or len(self.text) > _LONGEST_DURATION:
            raise ValueError(f"{shown(self.text)} is not a duration such as PT15M")
        sign = -1 if found[1] == "-" else 1
        try:
            years, months, days, hours, minutes, seconds, weeks = (int(n or 0) for n in found.groups()[1:])
            fixed = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
            if years * 12 + months > _MOST_MONTHS:
                raise OverflowError
        except OverflowError:
            raise ValueError(f"{shown(self.text)} is longer than a VTN can count") from None
        object.__setattr__(self, "months", sign * (years * 12 + months))
        object.__setattr__(self, "fixed", sign * fixed)

    @classmethod
    def of(cls, length: timedelta | float) -> Duration:
        """The duration of a timedelta or a number of seconds, in whole seconds, in days to seconds."""
        total = round(length.total_seconds() if isinstance(length, timedelta) else length)
        days, rest = divmod(abs(total), 86400)
        hours, rest = divmod(rest, 3600)
        minutes, seconds = divmod(rest, 60)
        time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
        day = f"{days}D" if days else ""
        return cls(("-" if total < 0 else "") + "P" + day + (f"T{time}" if time else "" if day else "T0S"))

    def after(self, instant: datetime) -> datetime:
        """``instant`` plus this duration: months by the calendar (clipped to the month's end), then the rest.

        Raises OverflowError where that is not in the years 1 to 9999.
        """
        if self.months:
            year, month = divmod(instant.year * 12 + instant.month - 1 + self.months, 12)
            if not MINYEAR <= year <= MAXYEAR:
                raise OverflowError(f"{instant} and {self.text} is not in the years 1 to 9999")
            day = min(instant.day, calendar.monthrange(year, month + 1)[1])
            instant = instant.replace(year=year, month=month + 1, day=day)
        return instant + self.fixed

    def __bool__(self) -> bool:
        return bool(self.months or self.fixed)

    def __str__(self) -> str:
        return self.text


def _write_duration(value: Duration) -> str:
    if not isinstance(value, Duration):
        raise ValueError(f"{shown(value)} is not a duration")
    return value.text


# Many intervals are of one length: the last texts are remembered.
DURATION = SimpleType("DurationValueType", lru_cache(256)(Duration), _write_duration)


# --- enumerations ---------------------------------------------------------------------------------

SCHEMA_VERSION = choice("schemaVersionType", "2.0a", "2.0b", extensible=True)
PROFILE_NAME = choice("oadrProfileType", "2.0a", "2.0b")
TRANSPORT_NAME = choice("oadrTransportType", "simpleHttp", "xmpp")
SERVICE_NAME = choice("oadrServiceNameType", "EiEvent", "EiOpt", "EiReport", "EiRegisterParty", "OadrPoll")
RESPONSE_REQUIRED = choice("ResponseRequiredType", "always", "never", token=False)
OPT_TYPE = choice("OptTypeType", "optIn", "optOut")
OPT_REASON = choice(
    "OptReasonType", "economic", "emergency", "mustRun", "notParticipating", "outageRunStatus", "overrideStatus",
    "participating", "x-schedule", extensible=True,
)  # fmt: skip
EVENT_STATUS = choice("EventStatusEnumeratedType", "none", "far", "near", "active", "completed", "cancelled")
SIGNAL_NAME = choice(
    "signalNameType", "SIMPLE", "simple", "ELECTRICITY_PRICE", "ENERGY_PRICE", "DEMAND_CHARGE", "BID_PRICE",
    "BID_LOAD", "BID_ENERGY", "CHARGE_STATE", "LOAD_DISPATCH", "LOAD_CONTROL", extensible=True,
)  # fmt: skip
SIGNAL_TYPE = choice(
    "SignalTypeEnumeratedType", "delta", "level", "multiplier", "price", "priceMultiplier", "priceRelative",
    "setpoint", "x-loadControlCapacity", "x-loadControlLevelOffset", "x-loadControlPercentOffset",
    "x-loadControlSetpoint",
)  # fmt: skip
REPORT_NAME = choice(
    "reportNameType", "METADATA_HISTORY_USAGE", "HISTORY_USAGE", "METADATA_HISTORY_GREENBUTTON",
    "HISTORY_GREENBUTTON", "METADATA_TELEMETRY_USAGE", "TELEMETRY_USAGE", "METADATA_TELEMETRY_STATUS",
    "TELEMETRY_STATUS", extensible=True,
)  # fmt: skip
REPORT_TYPE = choice(
    "ReportTypeType", "reading", "usage", "demand", "setPoint", "deltaUsage", "deltaSetPoint", "deltaDemand",
    "baseline", "deviation", "avgUsage", "avgDemand", "operatingState", "upRegulationCapacityAvailable",
    "downRegulationCapacityAvailable", "regulationSetpoint", "storedEnergy", "targetEnergyStorage",
    "availableEnergyStorage", "price", "level", "powerFactor", "percentUsage", "percentDemand",
    "x-resourceStatus", extensible=True,
)  # fmt: skip
READING_TYPE = choice(
    "ReadingTypeType", "Direct Read", "Net", "Allocated", "Estimated", "Summed", "Derived", "Mean", "Peak",
    "Hybrid", "Contract", "Projected", "x-RMS", "x-notApplicable", extensible=True,
)  # fmt: skip
DATA_QUALITY = choice(
    "oadrDataQualityTypeType", "No Quality - No Value", "No New Value - Previous Value Used",
    "Quality Bad - Non Specific", "Quality Bad - Configuration Error", "Quality Bad - Not Connected",
    "Quality Bad - Device Failure", "Quality Bad - Sensor Failure", "Quality Bad - Last Known Value",
    "Quality Bad - Comm Failure", "Quality Bad - Out of Service", "Quality Uncertain - Non Specific",
    "Quality Uncertain - Last Usable Value", "Quality Uncertain - Sensor Not Accurate",
    "Quality Uncertain - EU Units Exceeded", "Quality Uncertain - Sub Normal", "Quality Good - Non Specific",
    "Quality Good - Local Override", "Quality Limit - Field/Not", "Quality Limit - Field/Low",
    "Quality Limit - Field/High", "Quality Limit - Field/Constant", extensible=True,
)  # fmt: skip
SI_SCALE = choice(
    "SiScaleCodeType", "p", "n", "micro", "m", "c", "d", "k", "M", "G", "T", "none", token=False
)  # fmt: skip
REAL_POWER_UNITS = choice("itemUnits", "W", "J/s")
TEMPERATURE_UNITS = choice("temperatureUnitType", "celsius", "fahrenheit")
CURRENCY_DESCRIPTION = choice("currencyItemDescriptionType", "currency", "currencyPerKW", "currencyPerKWh")
CURRENCY = choice(
    "ISO3AlphaCurrencyCodeContentType",
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD",
    "BIF", "BMD", "BND", "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYR", "BZD", "CAD", "CDF", "CHE", "CHF",
    "CHW", "CLF", "CLP", "CNY", "COP", "COU", "CRC", "CUC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD",
    "EEK", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GWP",
    "GYD", "HKD", "HNL", "HRK", "HTG", "HUF", "IDR", "ILS", "INR", "IQD", "IRR", "ISK", "JMD", "JOD", "JPY",
    "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LTL",
    "LVL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRO", "MUR", "MVR", "MWK", "MXN", "MXV",
    "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN",
    "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLL", "SOS",
    "SRD", "STD", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH",
    "UGX", "USD", "USN", "USS", "UYI", "UYU", "UZS", "VEF", "VND", "VUV", "WST", "XAF", "XAG", "XAU", "XBA",
    "XBB", "XBC", "XBD", "XCD", "XDR", "XFU", "XOF", "XPD", "XPF", "XPT", "XTS", "XXX", "YER", "ZAR", "ZMK",
    "ZWL",
)  # fmt: skip
