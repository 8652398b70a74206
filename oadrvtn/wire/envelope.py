"""oadrPayload: what is around a message, on the way in and on the way out."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
from lxml import etree

from ..model.errors import InvalidData, NotRecognized
from ..model.messages import MESSAGES, Message
from ..model.values import ID, shown
from . import bends
from .codec import Fault, Output, clark, declarations, finish, prefixes_of, table_of
from .parser import parse

_PAYLOAD = clark("oadr:oadrPayload")
_OBJECT = clark("oadr:oadrSignedObject")
_SIGNATURE = clark("ds:Signature")
_ID = clark("oadr:Id")
_CLASSES = {clark(cls.tag): cls for cls in MESSAGES.values()}


class Undecodable(InvalidData):
    """A known message that does not decode: says which, and its requestID if that can be read.

    The peer gets the normal answer to that message with code 454.
    """

    def __init__(self, description: str, cls: type[Message], request_id: str) -> None:
        super().__init__(description)
        self.cls = cls
        self.request_id = request_id


@attrs.frozen
class Envelope:
    """A decoded document: its message, whether a ds:Signature came along, and the bends it needed."""

    message: Any
    signed: bool = False
    bends: tuple[str, ...] = ()


def unseal(root: etree._Element) -> tuple[etree._Element, etree._Element | None]:
    """The message's element and the ds:Signature of a parsed document.

    Raises NotRecognized for a document that is no oadrPayload with one message of the schema.
    """
    if root.tag != _PAYLOAD:
        raise NotRecognized(f"the root is {shown(root.tag)}, not oadrPayload of OpenADR 2.0b")
    parts = list(root)
    signature = parts.pop(0) if parts and parts[0].tag == _SIGNATURE else None
    if len(parts) != 1 or parts[0].tag != _OBJECT:
        raise NotRecognized("oadrPayload: holds something else than an optional Signature and one oadrSignedObject")
    signed = parts[0]
    if len(signed) != 1 or signed[0].tag not in _CLASSES:
        found = ", ".join(shown(child.tag) for child in signed[:3]) or "nothing"
        raise NotRecognized(f"oadrPayload/oadrSignedObject: holds {found}, not one message of OpenADR 2.0b")
    loose = (root.text, signed.text, signed.tail, signed[0].tail, signature.tail if signature is not None else None)
    if any(text and text.strip() for text in loose) or set(root.keys()) | (set(signed.keys()) - {_ID}):
        raise NotRecognized("oadrPayload: holds text or attributes that are not known there")
    try:
        ID.read(signed.get(_ID, "oadrSignedObject"))
    except ValueError as error:
        raise NotRecognized(f"oadrPayload/oadrSignedObject/@Id: {error}") from None
    return signed[0], signature


def decode_message(element: etree._Element, allowed: bends.Bends = bends.ALL) -> tuple[Any, tuple[str, ...]]:
    """The message in ``element``, and the names of the bends that it needed; raises Undecodable.

    On a fault the allowed bends run on the element and it is decoded once more.
    """
    cls = _CLASSES[element.tag]
    table = table_of(cls)
    try:
        return table.read(element), ()
    except Fault as fault:
        applied = bends.apply(element, allowed)
        if applied:
            try:
                return table.read(element), applied
            except Fault as second:
                fault = second
        fault.path.append(cls.name())
        request_id = element.findtext(".//" + clark("pyld:requestID")) or ""
        raise Undecodable(str(fault), cls, request_id) from None


def decode(data: bytes, allowed: bends.Bends = bends.ALL) -> Envelope:
    """A document as an Envelope.

    Raises Unreadable (no XML that we read), NotRecognized (no message of OpenADR 2.0b) or Undecodable
    (a message that breaks the schema; the text names where).
    """
    element, signature = unseal(parse(data))
    message, applied = decode_message(element, allowed)
    return Envelope(message, signature is not None, applied)


@cache
def _shell(cls: type[Message]) -> tuple[str, str]:
    prefixes = prefixes_of(cls) | {"oadr"}
    opening = f"<oadr:oadrPayload{declarations(prefixes)}><oadr:oadrSignedObject>"
    return opening, "</oadr:oadrSignedObject></oadr:oadrPayload>"


def encode(message: Message) -> bytes:
    """A message as a document in canonical XML; raises InvalidData for values that the schema refuses."""
    cls = type(message)
    opening, closing = _shell(cls)
    out = Output([opening, f"<{cls.tag}>"])
    try:
        table_of(cls).write(message, out)
    except Fault as fault:
        fault.path.append(cls.name())
        raise InvalidData(str(fault)) from None
    out.append(f"</{cls.tag}>{closing}")
    return finish(out)
