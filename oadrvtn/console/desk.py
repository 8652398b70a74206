"""The desk behind which the API's subjects stand: what is asked is read here, and answered or refused.

A route is a function of a desk and a request; each subject has a module of them.  What its query and its body may
say is told by its annotations.  Errors are problem documents (RFC 9457).  A write is one transaction that also gathers
what is answered, and may be rehearsed (``?dry_run=1``).  Lists come in pages.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Generic, NoReturn, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import attrs
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter

from ..model.errors import (
    InvalidData,
    InvalidID,
    Mistake,
    NotAllowed,
    NotRegistered,
    OutboxFull,
    OutOfSequence,
    VtnError,
)
from ..model.values import shown
from ..security.certificates import Description
from ..storage import answers, audit
from ..storage.audit import Action
from ..storage.database import Txn
from ..storage.tokens import SCOPES, Scope
from ..vtn.changes import NOTHING, Changes
from ..vtn.vtn import Vtn
from . import files
from .shapes import NO, Flag, Nothing, Reader, in_its_words, write_cursor

T = TypeVar("T")

log = Logger()

V1 = "/api/v1"

_STATUS: dict[type[VtnError], int] = {
    InvalidID: 404,
    NotAllowed: 409,
    OutOfSequence: 409,
    NotRegistered: 403,
    InvalidData: 422,
}
"""HTTP's word for what a rule refuses; 422 for all others."""


@attrs.define
class Call:
    """A request on its way: from where, what it asks and its SHA-256; then whose it is, and what it is about.

    ``written``: the audit log is told of it together with its effect, or it has none.  ``over``: it was answered, or
    nobody waits for an answer any more.
    """

    address: str
    action: str
    asked: bytes
    who: str = ""
    scope: Scope = "read"
    object: str = ""
    written: bool = False
    over: bool = False

    @classmethod
    def of(cls, request: IRequest) -> Call:
        """That of a request which came through the door."""
        call: Call = request.getComponent(cls)  # type: ignore[attr-defined]
        return call

    def done(self, status: int, made: str = "") -> Action:
        """What the audit log is told of it: how it ended, and what it has made."""
        return Action(
            who=self.who, address=self.address, action=self.action, object=self.object or made, asked=self.asked,
            status=status,
        )  # fmt: skip


class Problem(Exception):
    """A request that fails for reasons of HTTP: status, and what the answer says of it."""

    def __init__(self, status: int, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = more


class _Identifier(BaseConverter):
    """An ID within a path: any text, slashes included."""

    regex = ".+?"
    part_isolating = False


app = Klein()
app.url_map.converters["id"] = _Identifier
app.url_map.merge_slashes = False


Served = Callable[..., Coroutine[Any, Any, bytes]]


class Given(dict[str, Any], Generic[T]):
    """What a body says, of a class, of the fields that it names."""


@attrs.frozen
class Many(Generic[T]):
    """What a body says, of a class, many times: as a list in JSON; or as CSV, of whose rows it knows the lines.

    An item that cannot be read is None; why, the ``mistakes`` say, which are to be told with all others.
    """

    items: Sequence[T | None]
    mistakes: Sequence[Mistake]


@attrs.frozen
class Route:
    """A way to ask: who may, the function that serves it, the class of its query, and that of its body.

    ``body`` is None where it has none; ``form`` is Given or Many, or None for one of the class itself.  ``says`` is
    the shape of what is answered with a status, None where that is nothing; ``also`` other types of content.
    """

    method: str
    path: str
    scope: Scope
    serve: Served
    query: type
    body: type | None
    form: type | None
    says: Any
    status: int
    also: tuple[str, ...]


ROUTES: list[Route] = []
"""All routes below /api/v1."""


def route(
    method: str, path: str, scope: Scope, says: Any, status: int = 200, also: tuple[str, ...] = ()
) -> Callable[[Served], Served]:
    """Serve a method of a path below /api/v1, for a scope, by a function of a desk, a request and the path's IDs.

    It is given what is asked as its ``query`` and ``body``, where it has them, read as they are annotated.
    """

    def register(serve: Served) -> Served:
        hints = get_type_hints(serve)
        body = hints.get("body")
        form = get_origin(body)
        asked_by, of = hints.get("query", Nothing), get_args(body)[0] if form else body
        told = Route(method, path, scope, serve, asked_by, of, form, says, status, also)
        ROUTES.append(told)
        shape = re.sub("<id:(.+?)>", r"{\1}", path)

        @app.route(V1 + path, methods=[method], endpoint=f"{method} {path}")
        async def served(desk: Desk, request: IRequest, **ids: str) -> bytes:
            call = Call.of(request)
            if SCOPES.index(call.scope) < SCOPES.index(scope):
                request.setHeader(b"WWW-Authenticate", f'Bearer error="insufficient_scope", scope="{scope}"'.encode())
                raise Problem(403, f"this wants a token of the scope {scope}, not {call.scope}", scope=scope)
            call.action, call.object = f"{method} {shape}", "/".join(ids.values())
            asked: dict[str, Any] = {"query": desk.query(request, told.query)}
            lines: list[int] = []
            raw = None
            try:
                if told.body:
                    raw = raw_body(request) if form is not Many else raw_rows(request, told.body, lines)
                    read = partial(_FORMS[form], desk.reader, told.body, raw)
                    # Thousands of rows are read on a storage thread: VENs wait for this one.
                    asked["body"] = await desk.read("rows", lambda txn: read()) if form is Many else read()
                return await serve(desk, request, **{name: asked[name] for name in asked if name in hints}, **ids)
            except VtnError as error:
                if isinstance(error, OutboxFull):
                    desk.vtn.limited["outbox"] += 1
                return _refused(request, in_its_words(told.body, raw, error), ids, lines)

        return serve

    return register


_FORMS: dict[type | None, Callable[[Reader, Any, Any], Any]] = {
    None: Reader.read,
    Given: Reader.given,
    Many: lambda reader, cls, raw: Many(*reader.many(cls, raw)),
}


@attrs.frozen(kw_only=True)
class Rehearsal:
    """The query of a write: whether it is only tried, and rolled back."""

    dry_run: Flag = NO


class Desk:
    """What the subjects share: the VTN, how bodies are read, and what the certificates of the VTN say, by kind."""

    app = app

    def __init__(self, vtn: Vtn, own: Callable[[], Sequence[tuple[str, Description]]] = tuple) -> None:
        self.vtn = vtn
        self.own = own
        self.reader = Reader(vtn.now)

    def query(self, request: IRequest, cls: type[T]) -> T:
        """What the query says; of what is said twice, the last."""
        try:
            raw = {name.decode(): values[-1].decode() for name, values in request.args.items()}
        except UnicodeDecodeError:
            raise Problem(400, "the query is not UTF-8") from None
        try:
            return self.reader.read(cls, raw)
        except InvalidData as error:
            errors = [_of_parameter(mistake) for mistake in error.mistakes]
            raise Problem(422, error.description, response_code=error.response_code, errors=errors) from None

    def read(self, name: str, view: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """What a view of a transaction shows."""
        return self.vtn.database.read(name, view, *arguments)

    async def fresh(self, name: str, view: Callable[..., T], *arguments: Any) -> T:
        """What a view shows once all that is counted is written."""
        await self.vtn.flush()
        return await self.read(name, view, *arguments)

    def do(
        self,
        request: IRequest,
        wish: Rehearsal,
        rule: Callable[..., tuple[T, Changes]],
        *arguments: Any,
        show: Callable[[Txn, T, datetime], Any] = lambda txn, reply, now: reply,
        status: int = 200,
        tag: Callable[[Txn, Any], str] | None = None,
        where: Callable[[Any], Collection[str]] | None = None,
        present: Callable[[Txn], str] | None = None,
    ) -> Deferred[bytes]:
        """Run a rule, or only try it, and answer with what ``show`` makes of its reply in the same transaction.

        Of what is made, ``tag`` tells the ETag and ``where`` where below /api/v1 it is; the status is 201 then.  Of
        what is changed, ``present`` tells the ETag, which If-Match has to name.  Where the request has an
        Idempotency-Key the answer is kept in the same transaction, and given again to who asks again.  What is done is
        written to the audit log in the same transaction.
        """
        match = _if_match(request)
        key = None if wish.dry_run else _idempotency_key(request)
        call = Call.of(request)
        call.written = True

        def whole(txn: Txn, *arguments: Any) -> tuple[Said, Changes]:
            now = arguments[-1]
            if key and (kept := answers.find(txn, key.text, now)):
                said = key.again(*kept)
                audit.append(txn, call.done(said.status, said.made), now)
                return said, NOTHING
            if present and match is not None and (tag_now := present(txn)) not in match:
                raise wrong_header(412, "If-Match", f"it was changed since: its ETag is {tag_now} now", tag_now)
            reply, changes = rule(txn, *arguments)
            data = show(txn, reply, now)
            said = Said.of(data, status if where is None or wish.dry_run else 201)
            if tag or (present and status != 204):
                said = attrs.evolve(said, etag=tag(txn, data) if tag else present and present(txn))
            if where and not wish.dry_run:
                said = attrs.evolve(said, location=_location(where(data)))
            if key:
                answers.keep(txn, key.text, key.asked, json.dumps(attrs.asdict(said)), now)
            if not wish.dry_run:
                audit.append(txn, call.done(said.status, said.made), now)
            return said, changes

        name = rule.__name__.strip("_").replace("_", " ")
        done = (self.vtn.rehearse if wish.dry_run else self.vtn.write)(name, whole, *arguments)
        return done.addCallback(Said.to, request)

    # --- what fails

    @app.handle_errors(Problem)
    def _unfit(self, request: IRequest, failure: Failure) -> bytes:
        """A request that HTTP says no to."""
        return problem(request, failure.value.status, failure.value.detail, **failure.value.more)

    @app.handle_errors(HTTPException)
    def _unroutable(self, request: IRequest, failure: Failure) -> bytes:
        """No such path, or not this method."""
        error = failure.value
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            request.setHeader(b"Allow", ", ".join(sorted(error.valid_methods)).encode())
            return problem(request, 405, f"{request.method.decode('latin-1')} is not for this path")
        return problem(request, error.code or 400, f"there is no {shown(f'/{path_of(request).decode()}', 200)} here")

    @app.handle_errors(Exception)
    def _failed(self, request: IRequest, failure: Failure) -> bytes:
        """A fault of ours."""
        return fault(request, failure)


# --- what is asked ------------------------------------------------------------------------------------


def raw_rows(request: IRequest, cls: type, lines: list[int]) -> Any:
    """The list of the body, of objects like a class; of CSV also in which ``lines`` they stand."""
    kind = (request.getHeader(b"Content-Type") or b"").partition(b";")[0].strip().lower()
    if kind != b"text/csv":
        return raw_body(request, b"[]")
    fields, kinds = attrs.fields(cls), get_type_hints(cls)
    try:
        found = files.read_csv(
            request.content.read().decode("utf-8-sig"),
            columns=[field.name for field in fields],
            lists=[field.name for field in fields if get_origin(kinds[field.name]) is tuple],
            mandatory=[field.name for field in fields if field.default is attrs.NOTHING],
        )
    except UnicodeDecodeError as error:
        raise _unreadable(f"the file is not UTF-8, at byte {error.start}") from None
    except ValueError as error:
        raise _unreadable(f"the file is no CSV: {error}") from None
    lines += found.lines
    return found.rows


def raw_body(request: IRequest, nothing: bytes = b"{}") -> Any:
    """The JSON of the body; ``nothing`` where it is empty."""
    try:
        return json.loads(request.content.read().strip() or nothing, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"the body is not JSON: {error}") from None


def _unreadable(detail: str) -> Problem:
    """The whole body is wrong."""
    return Problem(400, detail, errors=[{"pointer": "", "detail": detail}])


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def path_of(request: IRequest) -> bytes:
    """The path as klein will read it: decoded, also where that makes slashes of %2F."""
    return b"/".join(request.postpath)


# --- lists --------------------------------------------------------------------------------------------

Key = tuple[Any, ...]
"""By what a list is sorted: the next page begins behind the last key of this one."""
Page = tuple[Sequence[Any], Key | None]
"""What a page shows, and its last key where there is another."""


def cut(
    found: Sequence[T], limit: int, key: Callable[[T], Key], backwards: bool = False
) -> tuple[Sequence[T], Key | None]:
    """The page of what was found, which is one more than ``limit`` where there is another; its last key, then.

    A page that leads ``backwards`` has the newest last, and its next one is older.
    """
    if len(found) <= limit:
        return found, None
    return (found[-limit:], key(found[-limit])) if backwards else (found[:limit], key(found[limit - 1]))


def listed(request: IRequest, name: str, page: Page, etag: str | None = None, **more: Any) -> bytes:
    """A page of a list, and how to ask for the next one."""
    rows, last = page
    return answer(request, {**more, name: rows, "next": leads_on(request, last)}, etag=etag)


def leads_on(request: IRequest, last: Key | None) -> str | None:
    """The cursor behind a key, in the answer's Link (RFC 8288), too; None where nothing follows."""
    if last is None:
        return None
    cursor = write_cursor(last)
    asked = urlsplit(request.uri.decode("ascii", "replace"))
    query = [(name, value) for name, value in parse_qsl(asked.query, keep_blank_values=True) if name != "cursor"]
    target = f"{asked.path}?{urlencode([*query, ('cursor', cursor)])}"
    request.setHeader(b"Link", f'<{target}>; rel="next"'.encode())
    return cursor


# --- answers ------------------------------------------------------------------------------------------


def answer(request: IRequest, data: Any, status: int = 200, etag: str | None = None) -> bytes:
    """JSON, of data or as it was written."""
    request.setResponseCode(status)
    if etag:
        request.setHeader(b"ETag", etag.encode())
    request.setHeader(b"Content-Type", b"application/json")
    return (data if isinstance(data, str) else json.dumps(data, allow_nan=False)).encode() + b"\n"


@attrs.frozen
class Said:
    """An answer to keep: JSON, or nothing where the status is 204; its ETag, and where that is which was made."""

    status: int
    text: str
    etag: str | None = None
    location: str | None = None

    @classmethod
    def of(cls, data: Any, status: int) -> Said:
        """The answer that tells data."""
        return cls(status, "" if status == 204 else json.dumps(data, allow_nan=False))

    @property
    def made(self) -> str:
        """The ID of what was made; empty where nothing was."""
        return unquote((self.location or "").rpartition("/")[2])

    def to(self, request: IRequest) -> bytes:
        """Its bytes, and its head to the request."""
        if self.location:
            request.setHeader(b"Location", self.location.encode())
        if self.text:
            return answer(request, self.text, self.status, self.etag)
        request.setResponseCode(self.status)
        return b""


@attrs.frozen
class _Key:
    """An Idempotency-Key, and a digest of what was asked under it."""

    text: str
    asked: bytes

    def again(self, asked: bytes, answer: str) -> Said:
        """The answer that was given under this key.  Raises Problem where something else was asked."""
        if asked != self.asked:
            raise wrong_header(422, "Idempotency-Key", "came before with another request: a key is for one request")
        return Said(**json.loads(answer))


def _idempotency_key(request: IRequest) -> _Key | None:
    text = request.getHeader(b"Idempotency-Key")
    if text is None or request.method != b"POST":
        return None
    if not re.fullmatch(rb"[!-~]{1,255}", text):
        raise wrong_header(400, "Idempotency-Key", "is not 1 to 255 letters, digits and signs without spaces")
    request.content.seek(0)
    asked = hashlib.sha256(request.uri + b"\n" + request.content.read())
    return _Key(text.decode(), asked.digest())


def _if_match(request: IRequest) -> list[str] | None:
    """The ETags one of which has to be that of what is there; None where any may."""
    text = (request.getHeader(b"If-Match") or b"*").decode("latin-1").strip()
    if text == "*":
        return None
    if not re.fullmatch(r'(W/)?"[^"]*"(\s*,\s*(W/)?"[^"]*")*', text):
        raise wrong_header(400, "If-Match", f'{shown(text)} is no ETag, such as "0"')
    return re.findall(r'(?:^|[\s,])("[^"]*")', text)


def wrong_header(status: int, name: str, detail: str, *allowed: str) -> Problem:
    """What is wrong with a header of the request, and what would do."""
    told = {"header": name, "detail": detail, **({"allowed": list(allowed)} if allowed else {})}
    return Problem(status, f"{name}: {detail}", errors=[told])


def etag(data: Any) -> str:
    """The ETag of what operators can change of something: of JSON as they are shown it."""
    return f'"{hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]}"'


def _location(path: Collection[str]) -> str:
    return "/".join([V1, *(quote(segment, safe="") for segment in path)])


def problem(request: IRequest, status: int, detail: str, **more: Any) -> bytes:
    """A problem document."""
    said = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    content = answer(request, said, status)
    request.setHeader(b"Content-Type", b"application/problem+json")
    return content


def fault(request: IRequest, failure: Failure | None = None) -> bytes:
    """A fault of ours: its traceback is in the log, under the incident that the answer names.

    It is the exception that is being handled, where there is no ``failure``.
    """
    incident = secrets.token_hex(4)
    log.failure(
        "incident {incident}: {method} {path} could not be served", failure,
        incident=incident, method=request.method.decode("latin-1"), path=shown(request.path.decode("latin-1"), 200),
    )  # fmt: skip
    return problem(request, 500, f"internal error, incident {incident}", incident=incident)


def _refused(request: IRequest, error: VtnError, ids: Collection[str], lines: Sequence[int] = ()) -> bytes:
    """What a rule says no to: at a place of the body, or a parameter, such as one of the IDs in the path.

    Of a file with ``lines``, the places are told by them.
    """
    status = next((status for cls, status in _STATUS.items() if isinstance(error, cls)), 422)
    speaks = request.method not in (b"GET", b"HEAD", b"DELETE")
    read = isinstance(error, InvalidData)  # an ID of the path is never that: it is unknown, or not free
    errors = [
        _in_body(mistake, lines) if speaks and (read or mistake.place not in ids) else _of_parameter(mistake)
        for mistake in error.mistakes
    ]
    said = error.description
    if len(errors) > files.MOST_TOLD or lines:
        told = "; ".join(_in_words(mistake, lines) for mistake in error.mistakes[: files.MOST_TOLD])
        said = f"{len(errors)} mistakes: {told}{' ...' if len(errors) > files.MOST_TOLD else ''}"
    more = {"errors": errors} if errors else {}
    return problem(request, status, said, response_code=error.response_code, **more)


def _in_words(mistake: Mistake, lines: Sequence[int]) -> str:
    """A mistake with its place; of a file with ``lines`` by the line, as in ``_in_body``."""
    place, row = mistake.place, re.match(r"\[(\d+)]\.?(.*)", mistake.place)
    if lines and row:
        place = f"line {lines[int(row[1])]}" + f", {row[2]}" * bool(row[2])
    return f"{place}: {mistake.reason}" if place else mistake.reason


def _told(mistake: Mistake) -> dict[str, Any]:
    return {"detail": mistake.reason, **({"allowed": list(mistake.allowed)} if mistake.allowed else {})}


def _of_parameter(mistake: Mistake) -> dict[str, Any]:
    return {"parameter": mistake.place, **_told(mistake)}


def _in_body(mistake: Mistake, lines: Sequence[int]) -> dict[str, Any]:
    """With its place as a JSON pointer (RFC 6901); of a file by the line and, within what stands there, the pointer."""
    parts = re.findall(r"[^.\[\]]+", mistake.place)
    where: dict[str, Any] = {}
    if lines and parts:
        where["line"] = lines[int(parts.pop(0))]
    return {**where, "pointer": "".join(f"/{part}" for part in parts), **_told(mistake)}
