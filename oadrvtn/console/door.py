"""The door of the API: what every request has to pass before it is served, and what is written of it afterwards.

A path that can be read, a body that is not too large, and a token that is known, has not ended, and of which not too
many were wrong of late.  What the token is good for is looked at by the desk, which knows what the route wants.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.exceptions import HTTPException

from ..model.values import shown
from ..storage import tokens
from ..vtn.vtn import Vtn
from .audit import Clerk
from .desk import Call, Problem, Scope, fault, path_of, problem
from .token import LOCAL, digest, id_of

log = Logger()

PUBLIC = (b"health", b"health/live", b"health/ready", b"metrics")
"""What is served without a token."""

MOST_BODY = 1024 * 1024
"""Bytes that a request's body may have."""
MOST_FILE = 8 * MOST_BODY
"""Bytes that a file may have which is imported."""
_FILES = (b"api/v1/vens/import",)

_LOOKS = (b"GET", b"HEAD")

Key = tuple[str, str]
"""From which address, and with the ID of which token: empty for those that are not known."""


class Lockout:
    """Who showed too many wrong tokens, and how long to wait; of the last ``most`` addresses and tokens.

    An address that guesses locks itself out, and only of the token that it guesses at: neither the same token at
    another address, nor other tokens at that address.  ``clock`` tells seconds.
    """

    FREE = 5
    """So many may be wrong before the first wait, which is of one second; each further one doubles it."""
    LONGEST = 900.0
    """Seconds: the longest wait, and after how long without a wrong one it begins anew."""

    def __init__(self, clock: Any, most: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        self._wrong: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._wrong)

    def wait(self, key: Key) -> float:
        """Seconds until the next try."""
        return max(0.0, self._wrong.get(key, (0, 0.0))[1] - self._clock.seconds())

    def wrong(self, key: Key) -> float:
        """Note a wrong token; seconds until the next try."""
        now = self._clock.seconds()
        number, until = self._wrong.pop(key, (0, 0.0))
        if now - until > self.LONGEST:
            number = 0
        pause = min(2.0 ** (number - self.FREE), self.LONGEST) if number >= self.FREE else 0.0
        self._wrong[key] = number + 1, now + pause
        if len(self._wrong) > self._most:
            self._wrong.popitem(last=False)
        return pause

    def right(self, key: Key) -> None:
        """Forget the wrong ones."""
        self._wrong.pop(key, None)


class Door(Resource):
    """Lets requests in to a resource, each with a ``Call`` as its component."""

    isLeaf = True

    def __init__(self, inside: Resource, vtn: Vtn, local: str, clerk: Clerk) -> None:
        super().__init__()
        self._inside = inside
        self._vtn = vtn
        self._local = digest(local)
        self._clerk = clerk
        self.lockout = Lockout(vtn.clock)

    def render(self, request: Request) -> int | bytes:
        """Let it in, or say why not."""
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        if path_of(request) in PUBLIC:
            return self._enter(request)
        call = Call(_address(request), _action(request), _asked(request))
        request.setComponent(Call, call)
        request.notifyFinish().addBoth(self._finished, request, call)
        Deferred.fromCoroutine(self._admit(request, call))
        return NOT_DONE_YET

    async def _admit(self, request: Request, call: Call) -> None:
        try:
            call.who, call.scope = await self._whose(request)
            _limit(request)
            if call.over:
                return
            said = self._enter(request)
        except Problem as error:
            said = problem(request, error.status, error.detail, **error.more)
        except Exception:
            said = fault(request)
        if isinstance(said, bytes) and not call.over:
            request.setHeader(b"Content-Length", str(len(said)).encode())
            request.write(said)
            request.finish()

    def _enter(self, request: Request) -> int | bytes:
        try:
            path_of(request).decode()
            return self._inside.render(request)
        except (UnicodeDecodeError, HTTPException):  # the latter for a Host that cannot be
            return problem(request, 400, "path or host cannot be read")

    async def _whose(self, request: Request) -> tuple[str, Scope]:
        """Who asks, and what the token is good for.  Raises Problem."""
        scheme, _, shown_token = (request.getHeader(b"Authorization") or b"").partition(b" ")
        text = shown_token.strip().decode("utf-8", "surrogateescape")
        if scheme.lower() != b"bearer" or not text:
            raise _unauthorised(request, "this needs the header Authorization: Bearer, with a token of the API")
        given = digest(text)
        if hmac.compare_digest(given, self._local):
            return LOCAL, "admin"
        token = await self._vtn.database.read("token", tokens.find, token_id) if (token_id := id_of(text)) else None
        key = _neighbourhood(_address(request)), token.token_id if token else ""
        if wait := self.lockout.wait(key):
            request.setHeader(b"Retry-After", str(math.ceil(wait)).encode())
            raise Problem(429, f"too many wrong tokens: the next try is in {math.ceil(wait)} s")
        if token is None or not hmac.compare_digest(given, token.digest):
            if wait := self.lockout.wrong(key):
                log.warn(
                    "operator: wrong tokens from {address}{of}: the next one is looked at in {wait:g} s",
                    address=key[0], of=f" for {token.name!r}" if token else "", wait=wait,
                )  # fmt: skip
            raise _unauthorised(request, "this token is not known", "invalid_token")
        self.lockout.right(key)
        if ended := token.ended(self._vtn.now()):
            raise _unauthorised(request, f"this token {ended}", "invalid_token")
        return token.name, token.scope

    def _finished(self, result: Any, request: Request, call: Call) -> None:
        """Log who did something, and have written of it what was not with its effect."""
        call.over = True
        if isinstance(result, Failure):
            return  # who left is not told; what was begun goes on, and is written with its effect
        status, acts = request.code, request.method not in _LOOKS
        if acts:
            log.info("operator {who!r}: {action}: {status}", who=call.who, action=call.action, status=status)
        if status in _DOUBTFUL or (acts and (status >= 400 or not call.written)):
            self._clerk.note(call.done(status))


_DOUBTFUL = (401, 403, 429)


def _unauthorised(request: Request, detail: str, error: str = "") -> Problem:
    more = f', error="{error}"' if error else ""
    request.setHeader(b"WWW-Authenticate", f'Bearer realm="oadrvtn"{more}'.encode())
    return Problem(401, detail)


def _limit(request: Request) -> None:
    assert request.content is not None
    most = MOST_FILE if path_of(request) in _FILES else MOST_BODY
    if request.content.seek(0, 2) > most:
        raise Problem(413, f"the body is larger than {most} bytes")
    request.content.seek(0)


def _address(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", None) or "")


def _neighbourhood(host: str) -> str:
    """An address, or of IPv6 the network that one customer has."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address) or address.ipv4_mapped:
        return host
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def _action(request: Request) -> str:
    path = path_of(request).decode("utf-8", "replace")
    return f"{request.method.decode('latin-1')[:20]} {shown(f'/{path}', 200)[1:-1]}"


def _asked(request: Request) -> bytes:
    assert request.content is not None
    request.content.seek(0)
    whole = hashlib.sha256(request.method + b" " + request.uri + b"\n" + request.content.read())
    request.content.seek(0)
    return whole.digest()
