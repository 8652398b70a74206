"""Bytes to tree: one hardened parser, which reads UTF-8 without a doctype and nothing else."""

from __future__ import annotations

from typing import Any

from lxml import etree

from ..model.errors import Mistake, Unreadable
from ..model.values import shown

_SETTINGS: Any = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
    "decompress": False,
}
_PARSER = etree.XMLParser(**_SETTINGS)
_ENCODINGS = frozenset({"UTF-8", "UTF8", "US-ASCII", "ASCII"})


def parse(data: bytes) -> etree._Element:
    """The root of the document in ``data``, without comments and processing instructions.

    Raises Unreadable for what is not well-formed, has a doctype (and so any entity), is not UTF-8, or is
    deeper than 256 elements.  Size is the caller's to limit, before.
    """
    try:
        data.decode()  # libxml2 would take UTF-16 by its first bytes, and say that it is UTF-8
        root = etree.fromstring(data, _PARSER)
    except UnicodeDecodeError as error:
        reason = f"the encoding must be UTF-8, which byte {error.start} is not"
        raise Unreadable(reason, [Mistake(f"byte {error.start}", reason)]) from None
    except etree.XMLSyntaxError as error:
        reason = f"not well-formed XML: {shown(' '.join(str(error.msg).split()), 150)}"
        raise Unreadable(reason, [Mistake(f"line {error.lineno}", reason)]) from None
    info: Any = root.getroottree().docinfo
    if info.doctype:
        raise Unreadable("a document type declaration is not accepted")
    if info.encoding and info.encoding.upper() not in _ENCODINGS:
        raise Unreadable(f"the encoding must be UTF-8, not {shown(info.encoding)}")
    return root
