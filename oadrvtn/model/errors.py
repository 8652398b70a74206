"""Everything that can be refused: one family of errors, a response code and a text that may leave the house."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import attrs


@attrs.frozen
class Mistake:
    """One thing to mend: where it stands (``signals[0].signal_type``), what is wrong, and what could stand there."""

    place: str
    reason: str
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


class VtnError(Exception):
    """A message or an operator's wish that cannot be served, told in the protocol's terms.

    The text is sent to the peer as ``responseDescription`` (or, on the operator's API, as the
    ``detail`` of a problem document), so it names the place and the reason and nothing that the peer
    may not know.  Do not use it for faults of our own (a bug, a full disk): let those fly, the chain
    answers 500 with an incident id and logs them.

    ``response_code`` is the application response code of OpenADR 2.0b (three digits).  ``mistakes`` are the
    places in what a peer or an operator said, where that is what is refused.
    """

    response_code = "500"

    def __init__(self, description: str, mistakes: Iterable[Mistake] = ()) -> None:
        super().__init__(description)
        self.description = description
        self.mistakes = tuple(mistakes)

    @classmethod
    def at(cls, place: str, reason: str, allowed: Iterable[str] = ()) -> Self:
        """The error of one place."""
        return cls.of([Mistake(place, reason, tuple(allowed))])

    @classmethod
    def of(cls, mistakes: Iterable[Mistake]) -> Self:
        """The error of all these places."""
        found = tuple(dict.fromkeys(mistakes))
        return cls("; ".join(map(str, found)), found)


class OutOfSequence(VtnError):
    """An outdated modification number (rules 5 and 58).  Not for an unknown event: InvalidID."""

    response_code = "450"


class NotAllowed(VtnError):
    """A valid operation that the present state forbids.  Not for a party without rights: NotRegistered."""

    response_code = "451"


class OutboxFull(NotAllowed):
    """So much waits for a VEN already that nothing more is queued for it."""


class InvalidID(VtnError):
    """An ID that was never issued or belongs to somebody else (rules 21 and 304)."""

    response_code = "452"


class NotRecognized(VtnError):
    """Well-formed XML that is no oadrPayload with a message of the schema."""

    response_code = "453"


class InvalidData(VtnError):
    """A known message, or a wish of the operator, with a value or an element that is not valid."""

    response_code = "454"


class ComplianceError(VtnError):
    """A broken rule without a closer code, such as a message on the wrong endpoint."""

    response_code = "459"


class ReportNotSupported(VtnError):
    """A report that is known but cannot be given as it is wanted.  Not for one that is not known: InvalidID."""

    response_code = "461"


class TargetMismatch(VtnError):
    """A target that does not belong to the VEN which names it."""

    response_code = "462"


class NotRegistered(VtnError):
    """The peer is not registered, not known, or speaks for another VEN."""

    response_code = "463"


class DeploymentError(VtnError):
    """Something that this VTN is not set up for, such as a transport that it does not offer."""

    response_code = "469"


class Unreadable(VtnError):
    """Bytes that are no document we parse: not well-formed, a doctype, another encoding than UTF-8.

    Over HTTP the peer gets 400 with this text: there is no message that an application error could answer.
    """

    response_code = "453"
