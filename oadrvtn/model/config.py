"""The configuration: a TOML file read into frozen classes, all its mistakes told at once with their places.

The classes are the schema.  Each key stands there once, with its reader, its default as TOML writes it
and the sentence that explains it; the commented example comes from the same table.  Programs build the
classes with keyword arguments, which go through the same readers (``Registration(poll_frequency="5m")``),
and change them with ``attrs.evolve``.

A reader takes a TOML value, or what it returned before, and returns the Python value; or it raises a
ValueError whose text completes "<place>: ...".
"""

# ruff: noqa: RUF009  (_key() and its like declare a field, as attrs.field() does)

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, get_args

import attrs
import cattrs
from cattrs.errors import (
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from .event import ITEM_BASES, ItemBase, OadrGBDataDescription
from .schema import ROW
from .values import ANY_URI, DECIMAL, READING_TYPE, REPORT_NAME, REPORT_TYPE, STRING, SimpleType


class ConfigError(Exception):
    """A configuration that cannot be used; ``mistakes`` holds one line for each thing to mend."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


# --- readers --------------------------------------------------------------------------------------


def _written_as(simple_type: SimpleType) -> Callable[[object], str]:
    """A text that the schema takes where it will stand in a message."""

    def read(raw: object) -> str:
        if not isinstance(raw, str):
            raise ValueError(f"{raw!r} is not a text")
        try:
            return simple_type.write(raw)
        except ValueError as error:
            raise NotAmong(str(error), simple_type.choices) from None

    return read


class NotAmong(ValueError):
    """A value where only some are allowed; none are named where any text of a form is."""

    def __init__(self, reason: str, allowed: Sequence[str]) -> None:
        super().__init__(reason)
        self.allowed = tuple(allowed)


_string = _written_as(STRING)


def _text(raw: object) -> str:
    """A string that says something."""
    if not _string(raw).strip():
        raise ValueError("is empty")
    return _string(raw)


def _flag(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise ValueError(f"{raw!r} is neither true nor false")
    return raw


def _whole(least: int, most: float, meaning: str) -> Callable[[object], int]:
    def read(raw: object) -> int:
        if not isinstance(raw, int) or isinstance(raw, bool) or not least <= raw <= most:
            raise ValueError(f"{raw!r} is not {meaning}")
        return raw

    return read


def _rate(raw: object) -> float:
    """How often in a second."""
    if not isinstance(raw, int | float) or isinstance(raw, bool) or not 0 < raw <= _MOST:
        raise ValueError(f"{raw!r} is not a number of messages in a second, above zero")
    return float(raw)


_port = _whole(0, 65535, "a port (0 to 65535)")
_count = _whole(1, math.inf, "a whole number above zero")
_number = _whole(0, math.inf, "a whole number")


def _measure(units: dict[str, int], meaning: str) -> Callable[[object], float]:
    """A number from 0 to ``_MOST``, or a text made of one and a unit."""
    shape = re.compile(rf"([0-9]+(?:\.[0-9]+)?) ?({'|'.join(units)})", re.IGNORECASE)

    def read(raw: object) -> float:
        number: int | float = math.nan
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            number = raw
        elif isinstance(raw, str) and (match := shape.fullmatch(raw)):
            number = float(match[1]) * units[match[2].lower()]
        if not 0 <= number <= _MOST:
            raise ValueError(f"{raw!r} is not {meaning}")
        return float(number)

    return read


_MOST = 10**10
"""Three centuries of seconds, ten gigabytes: what is more is a slip, and no timer takes it."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"b": 1, "kb": 1024, "mb": 1024**2}
read_duration = _measure(_SECONDS, 'a duration (seconds, or a text such as "10s", "5m", "1h", "1d")')
_any_size = _measure(_BYTES, 'a size (bytes, or a text such as "256kB", "8MB")')


def _period(raw: object) -> float:
    """A duration that is longer than nothing."""
    if not (seconds := read_duration(raw)):
        raise ValueError(f"{raw!r} is not above zero")
    return seconds


def _whole_seconds(raw: object) -> float:
    """A duration as VENs are told it: messages carry no fractions of a second."""
    if (seconds := read_duration(raw)) % 1:
        raise ValueError(f"{raw!r} is not a whole number of seconds")
    return seconds


def _whole_period(raw: object) -> float:
    _period(raw)
    return _whole_seconds(raw)


def _size(raw: object) -> int:
    if not (size := int(_any_size(raw))):
        raise ValueError(f"{raw!r} is not above zero")
    return size


def _one_of(choices: Sequence[str]) -> Callable[[object], str]:
    def read(raw: object) -> str:
        if raw not in choices:
            raise NotAmong(f"{raw!r} is none of {', '.join(choices)}{did_you_mean(raw, choices)}", choices)
        return str(raw)

    return read


def _path(raw: object) -> Path:
    return raw if isinstance(raw, Path) else Path(_text(raw))


def _http_url(raw: object) -> str:
    if not re.fullmatch(r"http://[A-Za-z0-9.\-\[\]:]+(/[!-~]*)?", _string(raw)):
        raise ValueError(f'{raw!r} is no URL (such as "http://ocsp.example/")')
    return _string(raw)


def _path_prefix(raw: object) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", _string(raw)):
        raise ValueError(f'{raw!r} is not a path prefix (such as "/north": a slash before, none at the end)')
    return _string(raw)


Network = IPv4Network | IPv6Network
Address = tuple[str, int]
"""A host and a port."""


def _network(raw: object) -> Network:
    if isinstance(raw, IPv4Network | IPv6Network):
        return raw
    try:
        return ip_network(_string(raw))
    except ValueError:
        raise ValueError(f'{raw!r} is not an address or a network (such as "192.0.2.7" or "10.0.0.0/24")') from None


_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")


def _nearby(raw: object) -> Address | Path:
    """A place to listen that other machines do not reach: a port of the loopback address, or a unix socket."""
    if isinstance(raw, Path | tuple):
        return raw
    if path := re.fullmatch("unix:(.+)", _string(raw)):
        return Path(path[1])
    found = _ADDRESS.fullmatch(_string(raw))
    with suppress(ValueError):
        if found and ip_address(host := found["six"] or found["four"]).is_loopback:
            return host, _port(int(found["port"]))
    raise ValueError(
        f'{raw!r} is not a place of this machine (such as "unix:/run/oadrvtn/proxy.sock", "127.0.0.1:8081")'
    )


def _header(raw: object) -> str:
    if not re.fullmatch("[A-Za-z0-9-]+", _string(raw)):
        raise ValueError(f"{raw!r} is not the name of a header")
    return _string(raw)


def _fingerprint(raw: object) -> str:
    """A certificate's SHA-256, whole or its last 10 bytes, as ``AA:BB:...``; colons and case are free.

    What ``security.fingerprint`` reads, which is on a higher floor.
    """
    digest = b""
    with suppress(ValueError):
        digest = bytes.fromhex(_string(raw).replace(":", " "))
    if len(digest) not in (10, 32):
        raise ValueError(f"{raw!r} is not a certificate fingerprint (10 or 32 bytes in hex)")
    return digest.hex(":").upper()


def _whole_fingerprint(raw: object) -> str:
    whole = _fingerprint(raw)
    if len(whole) != 32 * 3 - 1:
        raise ValueError(f"{raw!r} is not a whole fingerprint (32 bytes in hex, as `oadrvtn certs fingerprint --full`)")
    return whole


def _report_name(raw: object) -> str:
    name = _written_as(REPORT_NAME)(raw)
    if name.startswith("METADATA_"):
        raise ValueError(f"{name!r} is the offer of a report; ask for {name.removeprefix('METADATA_')!r}")
    return name


def _path_to(what: str, example: str) -> Callable[[object], str]:
    """The place of something in Python code."""

    def read(raw: object) -> str:
        module, _, name = _string(raw).partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), name)):
            raise ValueError(f'{raw!r} does not name a {what} (such as "package.module:{example}")')
        return f"{module}:{name}"

    return read


_class_path = _path_to("class", "Class")
_function_path = _path_to("function", "function")


def _finite(raw: object) -> float:
    if not isinstance(raw, int | float) or isinstance(raw, bool) or not math.isfinite(raw):
        raise ValueError(f"{raw!r} is not a number")
    return float(raw)


def _specifier(raw: object) -> str:
    if _text(raw) == "METADATA":
        raise ValueError("'METADATA' is what the offers themselves are asked for by")
    return _text(raw)


_UNITS = {cls.tag.partition(":")[2]: cls for cls in ITEM_BASES if cls is not OadrGBDataDescription}
_USUAL = {"si_scale_code": "none", "item_units": "W"}
"""What is meant where a unit leaves out which of several it is, as far as it may be that."""


def _unit(raw: object) -> ItemBase:
    """An itemBase by its ``name``, beside which stand its fields: ``{ name = "powerReal", si_scale_code = "k" }``."""
    if isinstance(raw, ItemBase):
        return raw
    fields = dict(raw) if isinstance(raw, dict) else {"name": raw}
    made: ItemBase = _element(_UNITS[_one_of(list(_UNITS))(fields.pop("name", None))], fields)
    return made


def _element(cls: type, raw: object) -> Any:
    """An element of the schema by the names of its fields."""
    if not isinstance(raw, dict):
        raise ValueError(f"{raw!r} is not a table")
    known = [field.name for field in attrs.fields(cls) if field.init]
    if unknown := sorted(raw.keys() - set(known)):
        raise ValueError(f"unknown key {unknown[0]!r} (known here: {', '.join(known)})")
    values = {}
    for name in known:
        end, value = attrs.fields_dict(cls)[name].metadata[ROW].end, raw.get(name, _USUAL.get(name))
        if name not in raw and value not in getattr(end, "choices", ()):
            raise ValueError(f"{name} is missing")
        try:
            if isinstance(end, SimpleType):
                values[name] = Decimal(str(_finite(value))) if end is DECIMAL else value
                end.write(values[name])
            else:
                values[name] = _element(end, value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return cls(**values)


def _each(read: Callable[[Any], Any], least: int = 0, most: float = math.inf) -> Callable[[object], Any]:
    """A list (read as a tuple) of ``least`` to ``most`` elements."""

    def read_all(raw: object) -> tuple[Any, ...]:
        if isinstance(raw, dict):
            raise ValueError("is one table, not a list of tables: write its heading in [[double brackets]]")
        if not isinstance(raw, list | tuple):
            raise ValueError(f"{raw!r} is not a list")
        values: list[Any] = []
        errors: list[Exception] = []
        if not least <= len(raw) <= most:
            errors.append(ValueError(f"holds {len(raw)} entries instead of {least} to {most}"))
        for index, item in enumerate(raw):
            try:
                values.append(read(item))
            except (ValueError, ClassValidationError) as error:
                error.add_note(IterableValidationNote(f"at [{index}]", index, None))
                errors.append(error)
        if errors:
            raise IterableValidationError("mistakes in a list", errors, tuple)
        return tuple(values)

    return read_all


def _table(cls: type) -> Callable[[object], Any]:
    """A table with the keys of ``cls``."""

    def read(raw: object) -> Any:
        if isinstance(raw, cls):
            return raw
        if not isinstance(raw, dict):
            raise ValueError(f"{raw!r} is not a table")
        return _converter.structure(raw, cls)

    return read


# --- the words that declare a key -----------------------------------------------------------------


def _key(read: Callable[[Any], Any], default: Any, teaches: str, *, example: Any = None) -> Any:
    """A key: its reader, its default in TOML's terms, and its comment in the example.

    A default of None means that the key may be left out, ``attrs.NOTHING`` that it may not.  Where the
    default shows nothing, the commented example shows ``example``.
    """
    reader = attrs.converters.optional(read) if default is None else read
    return attrs.field(default=default, converter=reader, metadata={"teaches": teaches, "example": example})


def _section(cls: type, teaches: str) -> Any:
    """A table of its own, which may be left out."""
    return attrs.field(default={}, converter=_table(cls), metadata={"teaches": teaches, "table": cls})


def _sections(cls: type, teaches: str) -> Any:
    """Any number of tables of one kind, each under its [[heading]]."""
    metadata = {"teaches": teaches, "table": cls, "many": True}
    return attrs.field(default=(), converter=_each(_table(cls)), metadata=metadata)


def _by_its_readers(cls: type, converter: cattrs.Converter) -> Any:
    """Have cattrs fill ``cls`` through the readers of its keys, and say where each of them failed."""

    def hook(read: Any) -> Callable[[object, object], Any]:
        return lambda raw, _: read(raw)

    hooks = {field.name: override(struct_hook=hook(field.converter)) for field in attrs.fields(cls)}
    return make_dict_structure_fn(cls, converter, **hooks)  # type: ignore[arg-type]


_converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
_converter.register_structure_hook_factory(attrs.has, _by_its_readers)


# --- the schema -----------------------------------------------------------------------------------

Synchronous = Literal["FULL", "NORMAL"]
Policy = Literal["closed", "approve", "handler", "open"]
UnregisteredPoll = Literal["error", "reregister"]
Leniency = Literal["strict", "standard", "bare", "enveloped", "neighbours", "lenient"]
Signatures = Literal["off", "accept", "require"]
Sign = Literal["on_request", "always"]
CertificateForm = Literal["nginx", "envoy"]
CrlFailure = Literal["hard", "soft"]
Asks = Literal["off", "soft", "hard"]
Nonce = Literal["send", "require"]


@attrs.frozen(kw_only=True)
class Listen:
    """Where VENs connect."""

    host: str = _key(_string, "", "The address to listen on; empty means every address of this machine.")
    port: int = _key(_port, 8443, "The port; 0 takes any free one.")
    path_prefix: str = _key(
        _path_prefix, "", "What stands before /OpenADR2/Simple/2.0b/EiEvent and its like, such as /north."
    )
    proxies: tuple[Network, ...] = _key(
        _each(_network),
        (),
        "Addresses and networks of proxies, which have to speak the PROXY protocol before TLS.",
    )


@attrs.frozen(kw_only=True)
class TrustedProxy:
    """Where a proxy connects that ends the TLS of VENs itself, and says by a header which certificate they showed."""

    address: Address | Path | None = _key(
        _nearby,
        None,
        "A unix socket (relative to state_directory) or a port of the loopback address, without TLS.\n"
        "Whoever can connect to it can be any VEN; without it there is no such place.",
        example="unix:/run/oadrvtn/proxy.sock",
    )
    form: CertificateForm = _key(
        _one_of(get_args(CertificateForm)),
        "nginx",
        "What the header holds: nginx's $ssl_client_escaped_cert, or envoy's X-Forwarded-Client-Cert.",
    )
    header: str = _key(_header, "X-SSL-Client-Cert", "The name of the header.")
    address_header: str | None = _key(
        _header,
        None,
        "The header in whose last part the proxy says where the VEN is; it has to set it itself.",
        example="X-Forwarded-For",
    )


@attrs.frozen(kw_only=True)
class CertificateFiles:
    """A certificate of this server and its private key, both PEM; intermediates follow the certificate."""

    certificate: Path = _key(_path, attrs.NOTHING, "The certificate.")
    key: Path = _key(_path, attrs.NOTHING, "Its private key.")


@attrs.frozen(kw_only=True)
class TLS:
    """Who this server is and whose certificates it accepts.  A file has to name both."""

    certificates: tuple[CertificateFiles, ...] = _key(
        _each(_table(CertificateFiles)),
        (),
        "This server's certificates (PEM) and their keys: an EC and an RSA one together serve every VEN.",
        example=[
            {"certificate": "certs/vtn-ec.crt", "key": "certs/vtn-ec.key"},
            {"certificate": "certs/vtn-rsa.crt", "key": "certs/vtn-rsa.key"},
        ],
    )
    ca: tuple[Path, ...] = _key(
        _each(_path),
        (),
        "The authorities that certify VENs; a file may hold several, and intermediates.",
        example=["certs/ca.crt"],
    )
    allow_aes128_sha256: bool = _key(
        _flag, True, "Offer AES128-SHA256 too, which OpenADR names and the oldest VENs need."
    )


@attrs.frozen(kw_only=True)
class DatabaseFile:
    """The embedded database."""

    path: Path = _key(_path, "vtn.sqlite", "The SQLite file, relative to state_directory.")
    synchronous: Synchronous = _key(
        _one_of(get_args(Synchronous)),
        "FULL",
        "FULL survives a power cut; NORMAL is faster and survives a kill only.",
    )


@attrs.frozen(kw_only=True)
class Retention:
    """How long what VENs report is kept; read again on SIGHUP."""

    readings: float = _key(
        read_duration,
        "400d",
        "Readings that began and came longer ago are dropped, and states of resources; 0 keeps all.",
    )


@attrs.frozen(kw_only=True)
class Registration:
    """Which VENs may register, and how often they are to poll (seconds)."""

    policy: Policy | None = _key(
        _one_of(get_args(Policy)),
        None,
        "An unknown VEN is refused (closed), kept for `oadrvtn ven approve` (approve), put to\n"
        "on_create_party_registration (handler: the default where one is installed) or let in (open).",
        example="closed",
    )
    poll_frequency: float = _key(_whole_period, "10s", "How often VENs are asked to poll.")
    offline_after: int = _key(_count, 3, "A VEN is offline once it missed this many of its polls.")
    unregistered_poll: UnregisteredPoll = _key(
        _one_of(get_args(UnregisteredPoll)),
        "error",
        "A known VEN that polls unregistered gets an error, or is asked to reregister.",
    )
    leniency: Leniency = _key(
        _one_of(get_args(Leniency)),
        "standard",
        "How far messages may stray from the schema: strict, standard, bare, enveloped, neighbours\nor lenient.",
    )


@attrs.frozen(kw_only=True)
class Security:
    """XML signatures, OpenADR's high security (seconds)."""

    signatures: Signatures = _key(
        _one_of(get_args(Signatures)),
        "accept",
        "A signature is not looked at (off), must be good if there is one (accept), or must be there\n(require).",
    )
    sign: Sign = _key(
        _one_of(get_args(Sign)),
        "on_request",
        "Sign answers to VENs that sign or ask for it (on_request), or to all (always); to none with off.",
    )
    signature_age: float = _key(_whole_period, "60s", "How old the timestamp of a signed message may be.")
    clock_skew: float = _key(_whole_seconds, "60s", "How far the clock of a VEN may be ahead.")


@attrs.frozen(kw_only=True)
class Revocation:
    """Which certificates are good no more, by the word of their authorities (seconds)."""

    crl: tuple[Path, ...] = _key(
        _each(_path), (), "CRL files (PEM or DER), each of one of tls.ca; read again when they change."
    )
    crl_failure: CrlFailure = _key(
        _one_of(get_args(CrlFailure)),
        "hard",
        "Without a CRL of now of its authority a certificate is refused (hard), or taken (soft).",
    )
    ocsp: Asks = _key(
        _one_of(get_args(Asks)),
        "off",
        "Ask responders about each certificate (soft, hard); where none vouches for it, it is taken (soft)\n"
        "or refused (hard).",
    )
    ocsp_responder: str | None = _key(_http_url, None, "Whom to ask.", example="http://ocsp.example/")
    ocsp_from_certificate: bool = _key(
        _flag, False, "Ask the responder that is named in the certificate, if none is named here."
    )
    ocsp_nonce: Nonce = _key(
        _one_of(get_args(Nonce)),
        "send",
        "Answers without the nonce of their question are taken (send) or not (require).",
    )
    ocsp_timeout: float = _key(_period, "5s", "The time an answer may take.")
    ocsp_max_age: float = _key(_period, "1h", "For how long an answer is believed, at most.")
    ocsp_cache: int = _key(_count, 10_000, "How many answers are kept.")

    def __attrs_post_init__(self) -> None:
        if self.ocsp != "off" and not self.ocsp_responder and not self.ocsp_from_certificate:
            raise ValueError("whom is ocsp to ask?  Set ocsp_responder or ocsp_from_certificate")


@attrs.frozen(kw_only=True)
class KnownVen:
    """A VEN that may register whatever the policy; written to the database at start and on SIGHUP."""

    ven_id: str = _key(_text, attrs.NOTHING, "Its venID; case counts.", example="ven-1")
    name: str | None = _key(_text, None, "A name for people.", example="Cold store, north gate")
    fingerprints: tuple[str, ...] = _key(
        _each(_fingerprint, 1, 2),
        attrs.NOTHING,
        "SHA-256 of its certificate, whole or the last 10 bytes; two while it changes certificates.",
        example=["AA:BB:CC:DD:EE:FF:00:11:22:33"],
    )
    poll_frequency: float | None = _key(_whole_period, None, "How often it is asked to poll.", example="1m")
    leniency: Leniency | None = _key(
        _one_of(get_args(Leniency)), None, "How far its messages may stray from the schema.", example="neighbours"
    )
    signatures: Signatures | None = _key(
        _one_of(get_args(Signatures)),
        None,
        "Whether its messages may be signed, or must be: off, accept or require.",
        example="require",
    )
    signing_fingerprint: str | None = _key(
        _whole_fingerprint,
        None,
        "The whole SHA-256 of the certificate that it signs with, if its connections show another.",
        example="AA" * 32,
    )


@attrs.frozen(kw_only=True)
class WantedReport:
    """Readings that are requested from every VEN whose METADATA offers them (periods in seconds)."""

    report_name: str = _key(
        _report_name, attrs.NOTHING, "Its reportName, without METADATA_.", example="TELEMETRY_USAGE"
    )
    reading_type: str | None = _key(
        _written_as(READING_TYPE), None, "Only data points of this readingType.", example="Direct Read"
    )
    report_type: str | None = _key(
        _written_as(REPORT_TYPE), None, "Only data points of this reportType.", example="usage"
    )
    item_base: str | None = _key(
        _one_of([item.tag.partition(":")[2] for item in ITEM_BASES]),
        None,
        "Only data points in this kind of unit.",
        example="powerReal",
    )
    r_id: str | None = _key(_text, None, "Only the data point of this rID.", example="site_power")
    resource_id: str | None = _key(_text, None, "Only data points of this resource.", example="chiller-2")
    market_context: str | None = _key(
        _written_as(ANY_URI),
        None,
        "Only data points of this market context; where they name none, of VENs that take part in it.",
        example="http://utility.example/programs/peak",
    )
    group_id: str | None = _key(_text, None, "Only VENs of this group.", example="north")
    granularity: float = _key(_whole_seconds, "1m", "The time between two readings; 0 means on change.")
    report_back_duration: float = _key(_whole_seconds, "5m", "The time between two reports; 0 means a single report.")

    def __attrs_post_init__(self) -> None:
        if 0 < self.report_back_duration < self.granularity:
            raise ValueError(
                f"report_back_duration: {self.report_back_duration:g} s is less than the granularity of"
                f" {self.granularity:g} s"
            )


@attrs.frozen(kw_only=True)
class OfferedPoint:
    """A data point of a report that this VTN offers (periods in seconds)."""

    r_id: str = _key(_text, attrs.NOTHING, "Its rID.", example="frequency")
    report_type: str = _key(_written_as(REPORT_TYPE), "reading", "Its reportType.")
    reading_type: str = _key(_written_as(READING_TYPE), "Direct Read", "Its readingType.")
    item_base: ItemBase | None = _key(
        _unit,
        None,
        "Its unit: a name of the schema, or a table of the name and what belongs to it.",
        example="frequency",
    )
    min_period: float = _key(_whole_seconds, "10s", "The shortest time between two readings.")
    max_period: float = _key(_whole_seconds, "1d", "The longest.")
    on_change: bool = _key(_flag, False, "Whether it is also reported on change (granularity 0).")
    value: float | None = _key(_finite, None, "Its value, where that is always the same.", example=50.0)

    def __attrs_post_init__(self) -> None:
        if self.max_period < self.min_period:
            raise ValueError("max_period is shorter than min_period")


@attrs.frozen(kw_only=True)
class Offer:
    """A report of this VTN, which VENs may request."""

    report_specifier_id: str = _key(_specifier, attrs.NOTHING, "Its reportSpecifierID.", example="grid")
    report_name: str = _key(_report_name, "TELEMETRY_USAGE", "Its reportName, without METADATA_.")
    duration: float = _key(_whole_seconds, "1h", "How far back its readings reach.")
    source: str | None = _key(
        _function_path,
        None,
        "Your function that knows the readings; points with a value do not need it.",
        example="utility.dr:readings",
    )
    data_points: tuple[OfferedPoint, ...] = _sections(OfferedPoint, "A data point of the offer above.")

    def __attrs_post_init__(self) -> None:
        r_ids = [point.r_id for point in self.data_points]
        if not r_ids:
            raise ValueError("offers nothing: write [[offers.data_points]] below it")
        if len(set(r_ids)) < len(r_ids):
            raise ValueError("two of its data points have the same r_id")
        if not self.source and (silent := [point.r_id for point in self.data_points if point.value is None]):
            raise ValueError(f"where is the value of {silent[0]!r} to come from?  Name a source, or give it a value")


@attrs.frozen(kw_only=True)
class Events:
    """How VENs are to answer events (seconds)."""

    answer_within: float = _key(
        _period, "5m", "An answer is overdue after this time, where the event itself sets no notification period."
    )


@attrs.frozen(kw_only=True)
class HandlerClasses:
    """Your subclasses of the handler resources, by service, as ``package.module:Class``."""

    EiRegisterParty: str | None = _key(_class_path, None, "Registration.", example="utility.dr:MyRegistration")
    EiEvent: str | None = _key(_class_path, None, "Events.", example="utility.dr:MyEvents")
    EiReport: str | None = _key(_class_path, None, "Reports and telemetry.", example="utility.dr:MyReports")
    EiOpt: str | None = _key(_class_path, None, "Opt schedules.", example="utility.dr:MyOpts")
    OadrPoll: str | None = _key(_class_path, None, "Polls.", example="utility.dr:MyPolls")


@attrs.frozen(kw_only=True)
class BodyLimits:
    """The largest request body of each service, in bytes; a text such as "8MB" counts in 1024s."""

    EiRegisterParty: int = _key(_size, "256kB", "Registration.")
    EiEvent: int = _key(_size, "256kB", "Answers to events.")
    EiReport: int = _key(_size, "8MB", "Reports; a cloud VEN sends thousands of resources at once.")
    EiOpt: int = _key(_size, "256kB", "Opt schedules.")
    OadrPoll: int = _key(_size, "256kB", "Polls.")
    unknown: int = _key(_size, "16kB", "From a certificate that is not known, whatever the service.")


@attrs.frozen(kw_only=True)
class TraceLimits:
    """What is remembered of the last messages of VENs, in memory, for `oadrvtn ven trace`."""

    messages: int = _key(_number, 50, "Messages of one VEN, both ways; 0 remembers none.")
    message_size: int = _key(_size, "4kB", "So much is kept of each document, from its beginning.")
    memory: int = _key(_size, "32MB", "All of them together; VENs that were quiet for longest are forgotten first.")


@attrs.frozen(kw_only=True)
class Limits:
    """What one VEN, or all of them together, may ask of this server (times in seconds)."""

    request_timeout: float = _key(_period, "30s", "The time a request may take to arrive.")
    header_timeout: float = _key(_period, "15s", "The time its head may take of that.")
    idle_timeout: float = _key(_period, "120s", "How long a connection may stay open between requests.")
    handshake_timeout: float = _key(_period, "15s", "The time a TLS handshake may take.")
    connections: int = _key(_count, 10_000, "Open connections in all.")
    connections_per_address: int = _key(
        _count, 1000, "Open connections from one address: more than VENs behind one NAT."
    )
    message_rate: float = _key(_rate, 10, "Messages a second from one VEN.")
    address_rate: float = _key(_rate, 500, "Messages a second from one address.")
    outbox: int = _key(_count, 1000, "What may wait for one VEN; so many messages it may send at once.")
    readings: int = _key(_count, 20_000, "Readings in one message.")
    unknown_certificates: int = _key(_count, 1000, "Unknown certificates remembered under policy approve.")
    roster: int = _key(_count, 100_000, "VENs whose live state is kept in memory.")
    log_lines: int = _key(_count, 100, "Lines of the log in a minute, for each VEN and each address.")
    overload_lag: float = _key(_period, 0.15, "So late, and it is too much: the newest connections get 503.")
    overload_wait: float = _key(_period, 0.3, "So long something waits for the database, and it is too much, too.")
    retry_after: float = _key(_period, "10s", "When they shall come again, at the earliest.")
    body: BodyLimits = _section(BodyLimits, "The largest request body of each service.")
    trace: TraceLimits = _section(TraceLimits, "What is remembered of messages, for `oadrvtn ven trace`.")


@attrs.frozen(kw_only=True)
class Api:
    """The operator's API: HTTP with bearer tokens, which has to have a certificate where it is not on loopback."""

    enabled: bool = _key(_flag, True, "Without it `oadrvtn status` and its like have nobody to ask.")
    host: str = _key(_text, "127.0.0.1", "The address to listen on; another than loopback wants a certificate.")
    port: int = _key(_port, 8080, "The port; 0 takes any free one.")
    certificate: Path | None = _key(
        _path, None, "Its certificate (PEM), before its intermediates: HTTPS.", example="certs/vtn-ec.crt"
    )
    key: Path | None = _key(_path, None, "The private key of that.", example="certs/vtn-ec.key")
    token_file: Path = _key(
        _path, "api-token", "The local token, made at the first start; relative to state_directory."
    )

    def __attrs_post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError(f"{'certificate' if self.key else 'key'} is missing: they go together")
        if self.enabled and not self.certificate and not is_loopback(self.host):
            raise ValueError(
                f"host: {self.host!r} is not a loopback address: tokens could be read on their way; "
                "name a certificate and its key (api.certificate, api.key), or listen on 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Whether what is sent to a host stays on this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@attrs.frozen(kw_only=True)
class Config:
    """Everything that can be set.  ``Config()`` holds the defaults, and no certificate files."""

    vtn_id: str = _key(_text, "oadrvtn", "The vtnID that VENs see.")
    state_directory: Path = _key(_path, "state", "Where the database and the API's token live.")
    listen: Listen = _section(Listen, "Where VENs connect, over mutual TLS.")
    trusted_proxy: TrustedProxy = _section(TrustedProxy, "Where a proxy connects that ends the TLS of VENs itself.")
    tls: TLS = _section(TLS, "Who this server is and whose certificates it accepts; read again on SIGHUP.")
    database: DatabaseFile = _section(DatabaseFile, "The embedded database.")
    retention: Retention = _section(Retention, "How long what VENs report is kept; read again on SIGHUP.")
    registration: Registration = _section(Registration, "Which VENs may register, and how they poll.")
    security: Security = _section(Security, "XML signatures; read again on SIGHUP.")
    revocation: Revocation = _section(Revocation, "Certificates that are good no more; read again on SIGHUP.")
    vens: tuple[KnownVen, ...] = _sections(KnownVen, "A VEN that may register whatever the policy.")
    reports: tuple[WantedReport, ...] = _sections(
        WantedReport, "Readings to request from every VEN that offers them; without any, none are requested."
    )
    offers: tuple[Offer, ...] = _sections(Offer, "A report of this VTN, which VENs may request.")
    events: Events = _section(Events, "How VENs are to answer events; read again on SIGHUP.")
    handlers: HandlerClasses = _section(HandlerClasses, "Your own handler resources, by service.")
    limits: Limits = _section(Limits, "What VENs may ask of this server.")
    api: Api = _section(Api, "The operator's API: tokens, and HTTPS where it is not on loopback.")

    @property
    def database_path(self) -> Path:
        """The SQLite file."""
        return self.state_directory / self.database.path

    @property
    def token_path(self) -> Path:
        """The file that holds the API's bearer token."""
        return self.state_directory / self.api.token_file


# --- reading --------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str]) -> Config:
    """The configuration in the TOML file ``path``; relative paths in it are relative to that file.

    Raises ConfigError, also for a file that cannot be read.
    """
    file = Path(path).absolute()
    try:
        content = file.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 (byte {error.start + 1})"]) from error
    return parse(content, file.parent)


def parse(text: str, base: Path) -> Config:
    """The configuration in a TOML document; relative paths in it are relative to ``base``.

    Raises ConfigError with every mistake at once; of TOML's own syntax, with the first.
    """
    try:
        raw = tomllib.loads(text)
    except ValueError as error:  # tomllib's own, or Python's for a number of thousands of digits
        raise ConfigError([_syntax(str(error), text)]) from None
    config = _structured(raw, _missing(raw))
    tls = attrs.evolve(
        config.tls,
        certificates=tuple(
            CertificateFiles(certificate=base / files.certificate, key=base / files.key)
            for files in config.tls.certificates
        ),
        ca=tuple(base / file for file in config.tls.ca),
    )
    files = {name: path and base / path for name in ("certificate", "key") for path in [getattr(config.api, name)]}
    api = attrs.evolve(config.api, **files)
    revocation = attrs.evolve(config.revocation, crl=tuple(base / file for file in config.revocation.crl))
    state = base / config.state_directory
    return attrs.evolve(config, state_directory=state, tls=tls, api=api, revocation=revocation)


def of(settings: dict[str, Any]) -> Config:
    """The configuration of a program: keys and tables of the file, as Python values or as TOML has them.

    Certificates and authorities may be missing.  Raises ConfigError with every mistake at once.
    """
    return _structured(settings, ())


def _structured(raw: dict[str, Any], missing: Iterable[str]) -> Config:
    mistakes = [*missing, *_doubles(raw)]
    try:
        config: Config = _converter.structure(raw, Config)
    except ClassValidationError as error:
        mistakes = [*_mistakes(error), *mistakes]
    if mistakes:
        raise ConfigError(mistakes)
    return config


def _syntax(message: str, text: str) -> str:
    """tomllib's message, with the place in front as everywhere, and as a line where it says "the end"."""
    what, _, place = message.removesuffix(")").rpartition(" (at ")
    if place == "end of document":
        place = f"line {text.count(chr(10)) + 1}, column {len(text) - text.rfind(chr(10))}"
    return f"{place}: {what}" if what else place


def _mistakes(error: Exception, place: str = "") -> Iterator[str]:
    """One line for each leaf of what cattrs raised."""
    if isinstance(error, ClassValidationError):
        inside, beside = error.group_exceptions()
        for inner, note in inside:
            yield from _mistakes(inner, _below(place, note.name))
        for inner in beside:
            yield from _mistakes(inner, place)
    elif isinstance(error, IterableValidationError):
        elements, beside = error.group_exceptions()
        for inner in beside:
            yield from _mistakes(inner, place)
        for inner, at in elements:
            yield from _mistakes(inner, f"{place}[{at.index}]")
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl)]
        for name in sorted(error.extra_fields):
            hint = did_you_mean(name, known) or f" (known here: {', '.join(known)})"
            yield f"{_below(place, name)}: unknown key{hint}"
    elif isinstance(error, KeyError):
        yield f"{place}: is missing"
    else:
        yield f"{place}: {error}"


def _below(place: str, name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_-]+", name):
        name = json.dumps(name)
    return f"{place}.{name}" if place else name


def did_you_mean(name: object, known: Sequence[str]) -> str:
    """A hint in brackets at what may have been meant, whatever its case; empty where nothing is near."""
    by_lower_case = {choice.lower(): choice for choice in known}
    near = get_close_matches(str(name).lower(), by_lower_case, n=1, cutoff=0.75)
    return f" (did you mean {by_lower_case[near[0]]}?)" if near else ""


FILES = {"certificates": "this server's certificates", "ca": "the authorities of the VENs"}
"""What a VTN needs under ``[tls]``."""


def _missing(raw: dict[str, Any]) -> Iterator[str]:
    tls = raw.get("tls", {})
    for name, what in FILES.items():
        if isinstance(tls, dict) and tls.get(name, []) == []:
            yield f"tls.{name}: is missing: the files of {what}"


def _doubles(raw: dict[str, Any]) -> Iterator[str]:
    """What may stand once only; looked up in the document, so that other mistakes do not hide it."""
    owners: dict[tuple[str, str], str] = {}
    for place, identity in (*_identities(raw.get("vens")), *_specifiers(raw.get("offers"))):
        owner = owners.setdefault(identity, place)
        if owner != place:
            yield f"{place}: the same as {owner}"


def _identities(vens: object) -> Iterator[tuple[str, tuple[str, str]]]:
    """Place and value of all that may stand only once among the VENs."""
    for index, ven in enumerate(vens if isinstance(vens, list) else ()):
        if not isinstance(ven, dict):
            continue
        if isinstance(ven_id := ven.get("ven_id"), str):
            yield f"vens[{index}].ven_id", ("ven_id", ven_id)
        fingerprints = ven.get("fingerprints")
        for number, raw in enumerate(fingerprints if isinstance(fingerprints, list) else ()):
            with suppress(ValueError):
                # The short form is the end of the whole one: 10 bytes, 29 characters.
                yield f"vens[{index}].fingerprints[{number}]", ("fingerprint", _fingerprint(raw)[-29:])


def _specifiers(offers: object) -> Iterator[tuple[str, tuple[str, str]]]:
    """Place and value of all that may stand only once among the offers."""
    for index, offer in enumerate(offers if isinstance(offers, list) else ()):
        if isinstance(offer, dict) and isinstance(specifier := offer.get("report_specifier_id"), str):
            yield f"offers[{index}].report_specifier_id", ("offer", specifier)


# --- the commented example ------------------------------------------------------------------------


def example() -> str:
    """The file that ``oadrvtn init`` writes: every key with its default and what it is for.

    A line that starts with ``#`` and no space is a key that is not set; without its ``#`` it is valid.
    """
    head = (
        "# The configuration of oadrvtn.  Paths are relative to this file.  Durations are seconds or texts",
        '# such as "10s", "5m", "1h", "1d"; sizes are bytes or texts such as "256kB", "8MB".',
        "# Keys in comments (#key = ...) are not set; those with values carry their defaults.",
        "",
    )
    return "\n".join((*head, *_example_of(Config))) + "\n"


def _example_of(cls: type, heading: str = "", off: str = "") -> Iterator[str]:
    keys = attrs.fields(cls)
    for key in keys:
        if "table" not in key.metadata:
            unset = "#" if key.default is None else off
            yield from (f"# {line}" for line in key.metadata["teaches"].split("\n"))
            yield f"{unset}{key.name} = {_toml(key.metadata['example'] or key.default)}"
    for key in keys:
        if "table" in key.metadata:
            path, many = _below(heading, key.name), "many" in key.metadata
            yield from ("", f"# {key.metadata['teaches']}", f"#[[{path}]]" if many else f"[{path}]")
            yield from _example_of(key.metadata["table"], path, "#" if many else "")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list) and len(value) > 1:
        return "".join(("[\n", *(f"  {_toml(item)},\n" for item in value), "]"))
    if isinstance(value, list):
        return f"[{_toml(value[0])}]"
    return json.dumps(value)
