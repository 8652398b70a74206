"""oadrPayload: what is around a message, on the way in and on the way out."""

from __future__ import annotations

from typing import Any

import attrs
from lxml import etree

from ..model.errors import InvalidData, Mistake, NotRecognized
from ..model.messages import MESSAGES, Message
from ..model.schema import Step
from ..model.values import ID, shown
from . import bends
from .codec import Fault, Place, Sequence, clark, declarations, document, local, placed, table_of, to_xml
from .columns import Came
from .parser import parse

_PAYLOAD = "oadr:oadrPayload"
_OBJECT = "oadr:oadrSignedObject"
_SIGNATURE = "ds:Signature"
_REQUEST_ID = clark("pyld:requestID")
_CLASSES = {clark(cls.tag): cls for cls in MESSAGES.values()}


def _itself(node: etree._Element) -> etree._Element:
    return node


_SIGNED_OBJECT = Sequence(
    _OBJECT,
    (Place("message", Step.parse("message"), dict.fromkeys(_CLASSES, _itself)),),
    {clark("oadr:Id"): ("id", ID)},
)
_ENVELOPE = Sequence(
    _PAYLOAD,
    (
        Place("signature", Step.parse("signature?"), {clark(_SIGNATURE): _itself}),
        Place("signed", Step.parse("signed"), {clark(_OBJECT): _SIGNED_OBJECT.read}),
    ),
)


class Undecodable(InvalidData):
    """A known message that does not decode: says which, and its requestID if that can be read.

    The peer gets the normal answer to that message with code 454.
    """

    def __init__(self, mistake: Mistake, cls: type[Message], request_id: str) -> None:
        super().__init__(str(mistake), [mistake])
        self.cls = cls
        self.request_id = request_id


@attrs.frozen
class Envelope:
    """A decoded document: its message, whether a ds:Signature came along, and the bends it needed."""

    message: Any
    signed: bool = False
    bends: tuple[str, ...] = ()


def unseal(
    root: etree._Element, allowed: bends.Bends = bends.STANDARD
) -> tuple[etree._Element, etree._Element | None, tuple[str, ...]]:
    """The message's element and the ds:Signature of a parsed document, and the bends that it needed.

    Raises NotRecognized for a document that is no oadrPayload with one message of the schema.
    """
    if root.tag in _CLASSES and bends.BARE_ROOT in allowed:
        return root, None, (bends.BARE_ROOT,)
    if root.tag != clark(_PAYLOAD):
        raise NotRecognized(f"the root is {shown(root.tag)}, not oadrPayload of OpenADR 2.0b")
    bent: tuple[str, ...] = ()
    if bends.LATE_SIGNATURE in allowed and len(root) > 1 and root[-1].tag == clark(_SIGNATURE):
        root.insert(0, root[-1])
        bent = (bends.LATE_SIGNATURE,)
    parts = _read(_ENVELOPE, root)
    return parts["signed"]["message"], parts.get("signature"), bent


def unseal_object(signed_object: etree._Element) -> etree._Element:
    """The message's element in an oadrSignedObject.  Raises NotRecognized where it is no message of the schema."""
    found: etree._Element = _read(_SIGNED_OBJECT, signed_object)["message"]
    return found


def _read(sequence: Sequence, node: etree._Element) -> dict[str, Any]:
    try:
        return sequence.read(node)
    except Fault as fault:
        raise NotRecognized.of([placed(fault, local(node.tag)).mistake]) from None


def claimed(root: etree._Element) -> tuple[type[Message] | None, str]:
    """Which message a document that is not believed looks like, and the requestID that it has ("": none)."""
    element = root.find(f"{clark(_OBJECT)}/*")
    return (None, "") if element is None else (_CLASSES.get(element.tag), _request_id(element))


def _request_id(element: etree._Element) -> str:
    found = next(element.iter(_REQUEST_ID), None)
    return "" if found is None else found.text or ""


def decode_message(
    element: etree._Element, allowed: bends.Bends = bends.STANDARD, document: bytes = b""
) -> tuple[Any, tuple[str, ...]]:
    """The message in ``element``, and the names of the bends that it needed; raises Undecodable.

    On a fault the allowed bends run on the element and it is decoded once more.  ``document`` is what the element was
    parsed from, if that is at hand.
    """
    cls = _CLASSES[element.tag]
    applied: tuple[str, ...] = ()
    while True:
        try:
            with Came(b"" if applied else document):
                return table_of(cls).read(element), applied
        except Fault as fault:
            if applied or not (applied := bends.apply(element, allowed)):
                raise Undecodable(placed(fault, cls.name()).mistake, cls, _request_id(element)) from None


def decode(data: bytes, allowed: bends.Bends = bends.STANDARD) -> Envelope:
    """A document as an Envelope.

    Raises Unreadable (no XML that we read), NotRecognized (no message of OpenADR 2.0b) or Undecodable
    (a message that breaks the schema; the text names where).
    """
    element, signature, bent = unseal(parse(data), allowed)
    message, applied = decode_message(element, allowed, data)
    return Envelope(message, signature is not None, bent + applied)


def _shell(cls: type[Message]) -> tuple[str, str]:
    opening = f"<{_PAYLOAD}{declarations(table_of(cls).prefixes | {'oadr'})}><{_OBJECT}>"
    return opening, f"</{_OBJECT}></{_PAYLOAD}>"


_SHELLS = {cls: _shell(cls) for cls in MESSAGES.values()}


def encode(message: Message, bare: bool = False) -> bytes:
    """A message as a document in canonical XML; raises InvalidData for values that the schema refuses.

    A ``bare`` one is its own root, for a peer that sends its messages like that.
    """
    return to_xml(message) if bare else document(message, *_SHELLS[type(message)])
