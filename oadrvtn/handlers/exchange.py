"""Exchange: one message on its way in and its answer on the way out, with what each step found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from ..model.schema import Message
from ..security import fingerprint
from ..security.certificates import printable
from ..vtn.roster import Entry

if TYPE_CHECKING:
    from .resource import ServiceResource


@attrs.define(eq=False)
class Exchange:
    """A request, as a transport hands it to the chain.

    ``certificate`` is the SHA-256 of the peer's certificate, ``subject()`` what the certificate calls it.
    The steps fill in the rest: ``entry`` is the VEN (None: the certificate is not known), ``message`` what
    it said, ``bends`` what it takes to read that.  ``status`` and ``answer`` are what the transport writes.
    """

    resource: ServiceResource
    body: bytes
    certificate: bytes
    peer: str
    subject: Callable[[], str]
    entry: Entry | None = None
    element: Any = None
    bends: tuple[str, ...] = ()
    message: Any = None
    reply: Message | None = None
    status: int = 200
    content_type: bytes = b"application/xml"
    answer: bytes = b""
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

    def when_written(self, function: Callable[[], None]) -> None:
        """Have a function called once the answer has left whole."""
        self._written.append(function)

    def written(self) -> None:
        """The answer has left whole."""
        for function in self._written:
            function()
