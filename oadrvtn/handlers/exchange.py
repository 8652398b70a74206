"""Exchange: one message on its way in and its answer on the way out, with what each step found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from ..model.schema import Message
from ..security import fingerprint
from ..security.certificates import printable
from ..security.signature import Signed
from ..vtn.rates import Bucket
from ..vtn.replay import Rule
from ..vtn.roster import Entry

if TYPE_CHECKING:
    from .resource import ServiceResource


def _as_it_is(rule: Rule) -> Rule:
    return rule


class TooLate(Exception):
    """A user's function has answered when the time to answer its message was over."""


@attrs.define(eq=False)
class Exchange:
    """A request, as a transport hands it to the chain.

    ``certificate`` is the SHA-256 of the peer's certificate, ``subject()`` what the certificate calls it,
    ``certificate_der()`` the whole of it, and ``own_certificate()`` the SHA-256 of the one that we have shown.
    The steps fill in the rest: ``entry`` is the VEN (None: the certificate is not known), ``signs`` whether the
    document claims to be signed, ``signed`` what was signed, ``message`` what it said, ``bends`` what it takes to
    read that; ``once`` makes rules that run for this message once, ``handler`` is the function of a user that is
    asked about it, ``late`` whether the time to answer is over.  ``error`` is why it was refused, ``incident`` under
    what the log has more of a fault of ours.  ``status``, ``answer`` and ``retry_after`` (seconds) are what the
    transport writes, ``seals`` whether that is signed.  ``taken`` are the buckets that it took a token from, ``wait``
    is in how many seconds the VEN may say more, where it has said too much; ``heard``: it was read nevertheless, at the
    cost of an answer.
    """

    resource: ServiceResource
    body: bytes
    certificate: bytes
    peer: str
    subject: Callable[[], str]
    certificate_der: Callable[[], bytes | None] = lambda: None
    own_certificate: Callable[[], bytes | None] = lambda: None
    entry: Entry | None = None
    element: Any = None
    signs: bool = False
    signed: Signed | None = None
    bends: tuple[str, ...] = ()
    message: Any = None
    handler: str = ""
    late: bool = False
    error: BaseException | None = None
    incident: str = ""
    seals: bool = False
    taken: tuple[Bucket, ...] = ()
    wait: float = 0.0
    heard: bool = False
    once: Callable[[Rule], Rule] = _as_it_is
    reply: Message | None = None
    status: int = 200
    content_type: bytes = b"application/xml"
    answer: bytes = b""
    retry_after: int | None = None
    _written: list[Callable[[], None]] = attrs.field(factory=list)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the peer's certificate as OpenADR shows it: ten bytes, ``AA:BB:...``."""
        return fingerprint.show(fingerprint.short(self.certificate))

    @property
    def ven_id(self) -> str | None:
        """The venID of the certificate."""
        return self.entry.ven.ven_id if self.entry else None

    @property
    def who(self) -> str:
        """The peer, for the log; a venID may be a text of its choice."""
        return printable(self.ven_id) if self.ven_id else f"certificate {self.fingerprint}"

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The HTTP headers of the answer.  It is never chunked: embedded VENs cannot read that."""
        found = [(b"Content-Type", self.content_type), (b"Content-Length", b"%d" % len(self.answer))]
        return found if self.retry_after is None else [*found, (b"Retry-After", b"%d" % self.retry_after)]

    def is_free(self) -> None:
        """Give back the tokens that were taken for it."""
        for bucket in self.taken:
            bucket.give_back()
        self.taken = ()

    def when_written(self, function: Callable[[], None]) -> None:
        """Have a function called once the answer has left whole."""
        self._written.append(function)

    def written(self) -> None:
        """The answer has left whole."""
        for function in self._written:
            function()
