"""What VENs and this VTN have said to each other lately, for people who look why something does not work.

In memory, and bounded: so many messages of a VEN, bytes of a message, and bytes in all.  Polls that find nothing are
only counted.  Of a document its first bytes are kept as they came; what is secret is blanked where it is shown.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Literal

import attrs

from ..model.config import TraceLimits
from ..security import fingerprint
from ..security.certificates import printable
from ..storage.vens import Ven

Who = tuple[str, datetime] | bytes
"""A VEN, by its ID and when it was added, or a certificate that is not known, by its short fingerprint."""


def who(ven: Ven | None, full: bytes) -> Who:
    """Whose trace it is that belongs to a certificate, by its SHA-256."""
    return (ven.ven_id, ven.created_at) if ven else fingerprint.short(full)


_HIDDEN = ("registrationID", "oadrTransportAddress", "KeyInfo", "SignatureValue", "DigestValue", "nonce")
_SECRET = re.compile(
    # What was cut off or never ends is hidden to its end.
    rf"(<(?:[\w.-]+:)?({'|'.join(_HIDDEN)})(?:\s[^<>]*)?(?<!/)>).*?(?=</(?:[\w.-]+:)?\2\s*>|\Z)",
    re.DOTALL,
)
_WEIGHT = 1000  # bytes that a message takes beside its document


def _weight(message: dict[str, Any]) -> int:
    """The bytes that it takes in memory, about."""
    return _WEIGHT + len(message["head"])


def _short(text: str) -> str:
    return text if len(text) <= 500 else text[:497] + "..."


@attrs.frozen(kw_only=True)
class Traced:
    """A message as it went over the wire, from a VEN (``in``) or to it (``out``), and what became of it.

    ``number`` grows from message to message.  ``code`` is what it was answered with, or what the answer says: a
    response code, or "HTTP 413" where there was none.  ``verdict`` is what was wrong, and ``place`` where; ``head``
    the beginning of the document, whose ``size`` is in bytes.  ``name`` is empty where that is not known.
    """

    number: int
    at: datetime
    direction: Literal["in", "out"]
    peer: str
    service: str
    name: str
    code: str
    size: int
    head: bytes
    verdict: str = ""
    place: str = ""
    bends: tuple[str, ...] = ()
    signed: bool = False
    incident: str = ""

    @property
    def document(self) -> str:
        """The beginning of the document, without secrets, and fit for a screen."""
        if b"\0" in self.head:
            return ""  # UTF-16 and its like, which is refused, and in which no secret could be found
        text = _SECRET.sub(r"\1(hidden)", self.head.decode("utf-8", "replace")).expandtabs(2)
        lines = [printable(line) for line in re.split(r"\r?\n", text)]
        if rest := self.size - len(self.head):
            lines.append(f"... and {rest:,} bytes more")
        return "\n".join(lines)


class Traces:
    """The messages by whose they are; where that is too much, who was quiet for longest loses the oldest first."""

    def __init__(self, limits: TraceLimits, now: Callable[[], datetime]) -> None:
        self._limits = limits
        self._now = now
        self._number = int(now().timestamp() * 1_000_000)  # so that they also grow from one start to the next
        self._weight = 0
        self._of: OrderedDict[Who, deque[dict[str, Any]]] = OrderedDict()  # the fields: few are ever looked at

    def note(self, of: Who, direction: Literal["in", "out"], document: bytes, **told: Any) -> None:
        """Keep a message; ``told`` are the other fields of a Traced."""
        if not self._limits.messages:
            return
        self._number += 1
        head = document[: self._limits.message_size]
        for text in ("verdict", "place"):
            if text in told:
                told[text] = _short(told[text])
        told |= {"number": self._number, "at": self._now(), "direction": direction, "size": len(document), "head": head}
        messages = self._of.setdefault(of, deque())
        messages.append(told)
        self._weight += _weight(told)
        self._of.move_to_end(of)
        if len(messages) > self._limits.messages:
            self._weight -= _weight(messages.popleft())
        while self._weight > self._limits.memory:
            self._forget()

    def _forget(self) -> None:
        of, messages = next(iter(self._of.items()))
        self._weight -= _weight(messages.popleft())
        if not messages:
            del self._of[of]

    def since(self, of: Who, number: int = 0) -> Iterator[Traced]:
        """The messages after that of a number, in their order."""
        return (Traced(**told) for told in self._of.get(of, ()) if told["number"] > number)
