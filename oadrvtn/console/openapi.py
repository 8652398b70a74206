"""The API described for programs: OpenAPI 3.1, made of the routes and of the classes that read what they are asked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import attrs

from ..model.config import WantedReport
from ..model.event import EiEventBaseline, EiTarget
from ..model.values import Duration
from ..vtn.specs import EventSpec
from .desk import ROUTES, V1, Given, Many, Route, app
from .shapes import (
    BASELINE,
    INTERVAL,
    ITEM_BASE_NAMES,
    KEYS,
    MOST_READINGS,
    MOST_ROWS,
    SHORT,
    EventChanges,
    Fingerprint,
    Flag,
    ItemBase,
    Limit,
    Name,
    PageSize,
    Pem,
    Period,
    Seconds,
    Value,
    fields_of,
)

_TEXT = {"type": "string"}
_DURATION = {"type": "string", "description": 'ISO 8601 ("PT15M") or short ("15m", "1h30m")'}
_SECONDS = {"type": ["number", "string"], "description": "a duration, or its seconds", "minimum": 0}

_SCHEMAS: dict[Any, dict[str, Any]] = {
    str: _TEXT,
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Decimal: {"type": ["number", "string"]},
    Duration: _DURATION,
    datetime: {"type": "string", "description": 'ISO 8601 with a time zone, "now", "+5m" or "-1h"'},
    Name: {"type": "string", "minLength": 1},
    Seconds: _SECONDS,
    Fingerprint: {"type": "string", "description": "a SHA-256 in hex, whole or its last ten bytes"},
    Pem: {"type": "string", "description": "a certificate in PEM"},
    Flag: {"type": "string", "enum": ["1", "0", "true", "false"]},
    Limit: {"type": "integer", "minimum": 1, "maximum": MOST_READINGS},
    PageSize: {"type": "integer", "minimum": 1, "maximum": MOST_ROWS},
    Period: _DURATION,
    ItemBase: {
        "type": "object",
        "properties": {"name": {"type": "string", "enum": list(ITEM_BASE_NAMES)}},
        "required": ["name"],
    },
    **{kind: {"type": "string", "description": "what the page before said as next"} for kind in KEYS},
}
"""How JSON or a query says what is no object."""

_SHOWN: dict[Any, dict[str, Any]] = {
    **{kind: _SCHEMAS[kind] for kind in (str, int, float, bool)},
    Any: {},
    Decimal: {"type": "number"},
    Duration: {"type": "string", "description": "ISO 8601"},
    datetime: {"type": "string", "format": "date-time"},
    ItemBase: {**_SCHEMAS[ItemBase], "description": "with its unit"},
}
"""How answers say what is no object."""

_SAID_OTHERWISE = {Value: INTERVAL, EiEventBaseline: BASELINE}
"""What is read in another form than its own."""

_PROBLEM = {
    "type": "object",
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "response_code": {**_TEXT, "description": "of OpenADR"},
        "scope": {**_TEXT, "description": "that a token has to have for this"},
        "incident": {**_TEXT, "description": "under which the log has more of a fault of the VTN"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {**_TEXT, "description": "the place in the body (RFC 6901)"},
                    "line": {"type": "integer", "description": "the line of the file; the pointer is within it"},
                    "parameter": {**_TEXT, "description": "of the query or the path"},
                    "header": {**_TEXT, "description": "of the request"},
                    "detail": _TEXT,
                    "allowed": {"type": "array", "items": _TEXT},
                },
                "required": ["detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}


class _Schemas:
    """The schemas that are referred to, by name."""

    def __init__(self) -> None:
        self.named: dict[str, dict[str, Any]] = {"Problem": _PROBLEM}
        self._plain: dict[Any, dict[str, Any]] = _SCHEMAS
        self._kinds: dict[str, Any] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of an annotation."""
        kind = _SAID_OTHERWISE.get(kind, kind)
        if kind in self._plain:
            return self._plain[kind]
        origin, parts = get_origin(kind), get_args(kind)
        if origin is Literal:
            return {"type": "string", "enum": list(parts)}
        if origin in (Union, UnionType):
            some = [self.of(part) for part in parts if part is not NoneType]
            return {"anyOf": [*some, {"type": "null"}] if NoneType in parts else some}
        if origin is tuple:
            return {"type": "array", "items": self.of(parts[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(parts[1])}
        name = self._name(kind)
        assert self._kinds.setdefault(name, kind) is kind, f"{name} is the name of two kinds"
        if name not in self.named:
            self.named[name] = {}  # which ends a circle
            self.named[name] = self._of_class(kind)
        return {"$ref": f"#/components/schemas/{name}"}

    def _name(self, kind: Any) -> str:
        name: str = kind.__name__.strip("_")
        return name

    def _of_class(self, cls: Any) -> dict[str, Any]:
        hints = get_type_hints(cls)
        fields = [field for field in attrs.fields(cls) if field.init]
        # What the configuration knows is read as it is there: its numbers are durations.
        own = {float: _SECONDS} if cls is WantedReport else {}
        properties = {}
        for field in fields:
            kind = hints.get(field.name, field.type)
            properties[field.name] = own.get(kind) or self.of(kind)
        required = [field.name for field in fields if field.default is attrs.NOTHING]
        if cls in (EventSpec, EventChanges):
            signal = {"level": {"type": "number"}, "signal_name": _TEXT, "signal_type": _TEXT}
            properties |= {name: signal[name] for name in SHORT}
            required = [name for name in required if name != "signals"]
        return {
            "type": "object",
            "description": inspect.getdoc(cls) or "",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }


class _Shown(_Schemas):
    """The schemas of what is answered: as ``show`` writes it, and every field is there."""

    def __init__(self, read: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self.named = read
        self._taken = set(read)
        self._plain = _SHOWN

    def _name(self, kind: Any) -> str:
        name = super()._name(kind)
        return f"{name}Shown" if name in self._taken else name

    def _of_class(self, cls: Any) -> dict[str, Any]:
        fields = fields_of(cls)
        there = () if cls is EiTarget else cls.__required_keys__ if is_typeddict(cls) else fields
        return {
            "type": "object",
            **({} if is_typeddict(cls) else {"description": inspect.getdoc(cls) or ""}),
            "properties": {name: self.of(kind) for name, kind in fields.items()},
            "required": sorted(there),
            "additionalProperties": False,
        }


def document(version: str, url: str = "/") -> dict[str, Any]:
    """The description of all routes."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        path, parameters = _path(V1 + route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(schemas, route, parameters)
    shown = _Shown(schemas.named)
    for route in ROUTES:
        paths[_path(V1 + route.path)[0]][route.method.lower()]["responses"].update(_served(shown, route))
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith(f"{V1}/"):
            said = {"200": {"description": "said"}, "503": _problem("not well")}
            name = rule.rule.strip("/").replace("/", "_")
            paths[rule.rule] = {"get": {"operationId": name, "security": [], "responses": said}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "oadrvtn", "version": version, "description": "The operator's API of an OpenADR 2.0b VTN."},
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _path(rule: str) -> tuple[str, list[dict[str, Any]]]:
    names = re.findall(r"<id:(\w+)>", rule)
    parameters = [{"name": name, "in": "path", "required": True, "schema": _SCHEMAS[Name]} for name in names]
    return re.sub(r"<id:(\w+)>", r"{\1}", rule), parameters


def _operation(schemas: _Schemas, route: Route, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    told = inspect.getdoc(route.serve) or ""
    hints = get_type_hints(route.query)
    asked = [
        {
            "name": field.name,
            "in": "query",
            "required": field.default is attrs.NOTHING,
            "schema": _without_null(schemas.of(hints[field.name])),
        }
        for field in attrs.fields(route.query)
    ]
    heads = _HEADS.get("PATCH" if route.path == "/tokens" and route.method == "POST" else route.method, [])
    operation: dict[str, Any] = {
        "operationId": route.serve.__name__,
        "summary": told.partition("\n")[0],
        "description": told,
        "tags": [route.path.split("/")[1]],
        "security": [{"token": [route.scope]}],
        "parameters": [*parameters, *asked, *heads],
        "responses": {"4XX": _problem("not served"), "5XX": _problem("a fault of the VTN")},
    }
    if route.body:
        operation["requestBody"] = {"required": True, "content": _contents(schemas, route)}
    return operation


_HEADS: dict[str, list[dict[str, Any]]] = {
    "POST": [
        {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"}},
        {"name": "If-Match", "in": "header", "schema": {"type": "string", "pattern": '^(\\*|"[!#-~]*")$'}},
    ]
}
_HEADS["PATCH"] = _HEADS["DELETE"] = _HEADS["POST"][1:]


def _contents(schemas: _Schemas, route: Route) -> dict[str, Any]:
    schema = schemas.of(route.body)
    if route.form is Many:
        rows = {"type": "array", "items": schema}
        return {"application/json": {"schema": rows}, "text/csv": {"schema": _TEXT}}
    if route.form is Given:
        name = schema["$ref"].rpartition("/")[2]
        schema = {**schemas.named[name], "required": []}
    return {"application/json": {"schema": schema}}


def _served(shown: _Shown, route: Route) -> dict[str, Any]:
    """What is answered where all is well; of what would be made, also where that is only tried."""
    if route.says is None:
        return {str(route.status): {"description": "done"}}
    content = {kind: {"schema": _TEXT} for kind in route.also}
    said: dict[str, Any] = {"content": {"application/json": {"schema": shown.of(route.says)}, **content}}
    if route.status != 201:
        return {str(route.status): {"description": "served", **said}}
    made = {name: {"schema": _TEXT} for name in ("ETag", "Location")}
    return {"201": {"description": "made", **said, "headers": made}, "200": {"description": "only tried", **said}}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What a query can say: what is not said is left out."""
    some: Iterable[dict[str, Any]] = schema.get("anyOf", [schema])
    (kind,) = [each for each in some if each.get("type") != "null"]
    return kind
