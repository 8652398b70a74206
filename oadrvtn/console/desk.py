"""The desk behind which the API's subjects stand: what is asked is read here, and answered or refused.

A route is a function of a desk and a request; each subject has a module of them.  Errors are problem documents
(RFC 9457).  A write is one transaction that also gathers what is answered, and may be rehearsed (``?dry_run=1``).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Collection, Coroutine
from datetime import datetime
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

import attrs
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter

from ..model.errors import InvalidData, InvalidID, Mistake, NotAllowed, NotRegistered, OutOfSequence, VtnError
from ..model.values import shown
from ..storage.database import Txn
from ..vtn.changes import Changes
from ..vtn.vtn import Vtn
from .shapes import NO, Flag, Reader

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


def route(method: str, path: str) -> Callable[[Served], Served]:
    """Serve a method of a path below /api/v1 by a function of a desk, a request and the IDs in the path."""

    def register(serve: Served) -> Served:
        @app.route(V1 + path, methods=[method], endpoint=f"{method} {path}")
        async def served(desk: Desk, request: IRequest, **ids: str) -> bytes:
            try:
                return await serve(desk, request, **ids)
            except VtnError as error:
                return _refused(request, error, ids)

        return serve

    return register


@attrs.frozen(kw_only=True)
class Rehearsal:
    """The query of a write: whether it is only tried, and rolled back."""

    dry_run: Flag = NO


class Desk:
    """What the subjects share: the VTN, and how bodies are read."""

    app = app

    def __init__(self, vtn: Vtn) -> None:
        self.vtn = vtn
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

    def body(self, request: IRequest, cls: type[T]) -> T:
        """What the body says."""
        return self.reader.read(cls, raw_body(request))

    def changes(self, request: IRequest, cls: type) -> dict[str, Any]:
        """What the body says, of the fields that it names."""
        raw = raw_body(request)
        read: Any = self.reader.read(cls, raw)
        return {name: getattr(read, name) for name in raw}

    def read(self, name: str, view: Callable[..., T], *arguments: Any) -> Deferred[T]:
        """What a view of a transaction shows."""
        return self.vtn.database.read(name, view, *arguments)

    async def fresh(self, name: str, view: Callable[..., T], *arguments: Any) -> T:
        """What a view shows once all that is counted is written."""
        await self.vtn.flush()
        return await self.read(name, view, *arguments)

    def write(self, wish: Rehearsal, rule: Callable[..., tuple[T, Changes]], *arguments: Any) -> Deferred[T]:
        """What a rule replies, or would reply."""
        name = rule.__name__.strip("_").replace("_", " ")
        return (self.vtn.rehearse if wish.dry_run else self.vtn.write)(name, rule, *arguments)

    def change(self, request: IRequest, rule: Callable[..., tuple[T, Changes]], *arguments: Any) -> Deferred[T]:
        """``write``, as the query wishes."""
        return self.write(self.query(request, Rehearsal), rule, *arguments)

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
        """A fault of ours: its traceback is in the log, under the incident that the answer names."""
        incident = secrets.token_hex(4)
        log.failure(
            "incident {incident}: {method} {path} could not be served", failure,
            incident=incident, method=request.method.decode("latin-1"), path=shown(path_of(request).decode(), 200),
        )  # fmt: skip
        return problem(request, 500, f"internal error, incident {incident}", incident=incident)


def then(
    rule: Callable[..., tuple[Any, Changes]], view: Callable[[Txn, Any, datetime], T]
) -> Callable[..., tuple[T, Changes]]:
    """The rule, with what the view makes of its reply in the same transaction."""

    def both(txn: Txn, *arguments: Any) -> tuple[T, Changes]:
        reply, changes = rule(txn, *arguments)
        return view(txn, reply, arguments[-1]), changes

    both.__name__ = rule.__name__
    return both


# --- what is asked ------------------------------------------------------------------------------------


def raw_body(request: IRequest) -> Any:
    """The JSON of the body; {} where it is empty."""
    try:
        return json.loads(request.content.read().strip() or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON: {error}") from None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def path_of(request: IRequest) -> bytes:
    """The path as klein will read it: decoded, also where that makes slashes of %2F."""
    return b"/".join(request.postpath)


# --- answers ------------------------------------------------------------------------------------------


def answer(request: IRequest, data: Any, status: int = 200) -> bytes:
    """JSON, of data or as it was written."""
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"application/json")
    return (data if isinstance(data, str) else json.dumps(data, allow_nan=False)).encode() + b"\n"


def gone(request: IRequest) -> bytes:
    """Nothing is left to say."""
    request.setResponseCode(204)
    return b""


def created(request: IRequest, wish: Rehearsal, data: Any, *path: str) -> bytes:
    """JSON of what was made, with where below /api/v1 it is; a rehearsal made nothing."""
    if wish.dry_run:
        return answer(request, data)
    request.setHeader(b"Location", "/".join([V1, *(quote(segment, safe="") for segment in path)]).encode())
    return answer(request, data, 201)


def problem(request: IRequest, status: int, detail: str, **more: Any) -> bytes:
    """A problem document."""
    said = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    content = answer(request, said, status)
    request.setHeader(b"Content-Type", b"application/problem+json")
    return content


def _refused(request: IRequest, error: VtnError, ids: Collection[str]) -> bytes:
    """What a rule says no to: at a place of the body, or a parameter, such as one of the IDs in the path."""
    status = next((status for cls, status in _STATUS.items() if isinstance(error, cls)), 422)
    speaks = request.method not in (b"GET", b"HEAD", b"DELETE")
    errors = [
        _in_body(mistake) if speaks and mistake.place not in ids else _of_parameter(mistake)
        for mistake in error.mistakes
    ]
    more = {"errors": errors} if errors else {}
    return problem(request, status, error.description, response_code=error.response_code, **more)


def _told(mistake: Mistake) -> dict[str, Any]:
    return {"detail": mistake.reason, **({"allowed": list(mistake.allowed)} if mistake.allowed else {})}


def _of_parameter(mistake: Mistake) -> dict[str, Any]:
    return {"parameter": mistake.place, **_told(mistake)}


def _in_body(mistake: Mistake) -> dict[str, Any]:
    """With its place as a JSON pointer (RFC 6901)."""
    parts = re.findall(r"[^.\[\]]+", mistake.place)
    return {"pointer": "".join(f"/{part}" for part in parts), **_told(mistake)}
