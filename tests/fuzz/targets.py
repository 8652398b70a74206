"""What a fuzzer drives: bytes choose a document and how it is bent, and what the VTN makes of it is judged.

Every target takes the bytes that a fuzzer invents.  It returns whether the document was accepted, and raises for
a fault: an exception that is none of the errors that leave the house, a text that may not stand in a log, or a
message that was read as something that nobody has written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime
from functools import cache
from typing import TypeVar

from lxml import etree

from oadrvtn.model.errors import VtnError
from oadrvtn.model.messages import MESSAGES
from oadrvtn.security.signature import Signer, verify
from oadrvtn.wire import bends, decode, encode
from oadrvtn.wire.envelope import decode_message, unseal_object
from oadrvtn.wire.parser import parse
from tests.security.signing import NOW, der, ven
from tests.wire.samples import full

_MOST_STEPS = 8
_TEXTS = (
    "", " ", "0", "-1", "NaN", "INF", "1e999", "9" * 40, "P1D", "PT", "2026-02-30T25:61:61Z", "9999-12-31T23:59:59Z",
    "0000-00-00T00:00:00Z", "#", "#signature", "#oadrSignedObject", "../../etc/passwd", "\u202e", "\u0085", "A" * 5000,
    "http://www.w3.org/2000/09/xmldsig#sha1", "http://www.w3.org/TR/1999/REC-xslt-19991116", "AA==", "optIn", "200",
)  # fmt: skip
_BYTES = (
    b"<!-- -->", b"<?p i?>", b"<![CDATA[x]]>", b"&#0;", b"&amp;", b"&x;", b"<!DOCTYPE a [<!ENTITY x 'y'>]>", b"\x00",
    b"\xff", b"\xef\xbb\xbf", b"]]>", b"</", b"<a>", b"xmlns:ds='urn:x' ", b" Id='oadrSignedObject'", b"\r\n",
)  # fmt: skip


T = TypeVar("T")


class Choices:
    """A fuzzer's bytes, taken as numbers one after the other; when they are used up, zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1."""
        taken = self._data[self._at : self._at + (1 if bound <= 256 else 3)]
        self._at += len(taken)
        return int.from_bytes(taken, "big") % bound

    def of(self, among: Sequence[T]) -> T:
        """One of these."""
        return among[self.below(len(among))]

    def rest(self) -> bytes:
        """What was not used."""
        return self._data[self._at :]


# --- bending -----------------------------------------------------------------------------------------


def _remove(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    if (parent := node.getparent()) is not None:
        parent.remove(node)


def _copy(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    node.insert(choices.below(len(node) + 1), deepcopy(other))


def _move(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    if node not in other.iter() and other.getparent() is not None:
        node.insert(choices.below(len(node) + 1), other)


def _wrap(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    if (parent := node.getparent()) is not None:
        around = parent.makeelement(other.tag)
        _name(around, other, choices)
        parent.replace(node, around)
        around.append(node)


def _rename(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    node.tag = other.tag


def _name(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    for name, value in other.items() or [("Id", "oadrSignedObject")]:
        node.set(name, value)


def _unname(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    for name in node.keys()[: 1 + choices.below(2)]:
        del node.attrib[name]


def _say(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    node.text = choices.of(_TEXTS).replace("\x00", "")


def _attribute(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    names = node.keys() or ["Id"]
    node.set(choices.of(names), choices.of(_TEXTS))


def _exchange(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    node.text, other.text = other.text, node.text


def _trail(node: etree._Element, other: etree._Element, choices: Choices) -> None:
    node.tail = choices.of(_TEXTS)


_STEPS: tuple[Callable[[etree._Element, etree._Element, Choices], None], ...] = (
    _remove, _copy, _move, _wrap, _rename, _name, _unname, _say, _attribute, _exchange, _trail,
)  # fmt: skip


def _bytes_bent(document: bytes, choices: Choices) -> bytes:
    at = choices.below(len(document) + 1)
    end = min(len(document), at + choices.below(40))
    kind = choices.below(4)
    if kind == 0:
        return document[:at] + choices.of(_BYTES) + document[at:]
    if kind == 1:
        return document[:at] + document[end:]
    if kind == 2:
        return document[:end] + document[at:]
    return document[:at] + bytes([choices.below(256)]) + document[at + 1 :]


def bent(seeds: Sequence[bytes], choices: Choices) -> bytes:
    """One of the documents, changed by up to eight steps on its tree and up to two on its bytes."""
    root, foreign = (etree.fromstring(choices.of(seeds)) for _ in range(2))
    for _ in range(1 + choices.below(_MOST_STEPS)):
        nodes, others = list(root.iter()), list((root if choices.below(4) else foreign).iter())
        choices.of(_STEPS)(choices.of(nodes), choices.of(others), choices)
    document = etree.tostring(root)
    for _ in range(choices.below(3)):
        document = _bytes_bent(document, choices)
    return document


# --- targets -----------------------------------------------------------------------------------------


def _may_leave(error: VtnError) -> None:
    """What a VEN and the log are told is short and harmless."""
    for text in (error.description, getattr(error, "reason", "")):
        assert len(text) < 1000, text
        assert text.isprintable(), repr(text)


@cache
def _plain() -> tuple[bytes, ...]:
    return tuple(encode(full(cls, pick)) for cls in MESSAGES.values() for pick in (0, 1))


def decoding(data: bytes) -> bool:
    """A bent message, under the strictest and the most lenient profile: an error of the house, or a message that
    can be written, and read again as what it is.
    """
    choices = Choices(data)
    allowed = choices.of((bends.STANDARD, bends.NAMES))
    document = bent(_plain(), choices) if choices.below(8) else choices.rest()
    try:
        found = decode(document, allowed)
    except VtnError as error:
        _may_leave(error)
        return False
    again = decode(encode(found.message))
    assert again.message == found.message, document
    assert not again.bends, (again.bends, document)
    return True


@cache
def _signed() -> tuple[bytes, ...]:
    """Signed documents of all messages: by keys that are trusted, and three by one that is not."""
    signers = [Signer(ven()), Signer(ven(rsa=True))]
    messages = [encode(full(cls)) for cls in MESSAGES.values()]
    documents = [
        signers[number % 2].sign(message, NOW, enveloped=number % 3 == 2) for number, message in enumerate(messages)
    ]
    return *documents, *(Signer(ven("ven2")).sign(message, NOW) for message in messages[:3])


@cache
def _trusted() -> frozenset[bytes]:
    return frozenset(credential.fingerprint for credential in (ven(), ven(rsa=True)))


def _said(document: bytes, enveloped: bool) -> tuple[bytes, str, datetime]:
    """What somebody whom we trust has signed: message, nonce, time."""
    signed = verify(parse(document), _trusted(), der(ven()), NOW, enveloped=enveloped, document=document)
    message, _ = decode_message(unseal_object(signed.signed_object))
    return encode(message), signed.nonce, signed.timestamp


@cache
def _honest() -> frozenset[tuple[bytes, str, datetime]]:
    return frozenset(_said(document, True) for document in _signed()[: len(MESSAGES)])


def verifying(data: bytes) -> bool:
    """A bent signed document: refused, or exactly what a VEN has signed."""
    choices = Choices(data)
    enveloped = bool(choices.below(2))
    document = bent(_signed(), choices)
    honest = _honest()
    try:
        said = _said(document, enveloped)
    except VtnError as error:
        _may_leave(error)
        return False
    assert said in honest, document
    return True


TARGETS: dict[str, Callable[[bytes], bool]] = {"decode": decoding, "verify": verifying}
"""Name -> what is tried."""
