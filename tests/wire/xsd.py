"""The Alliance's schema, as the judge of what the codec writes and refuses."""

from __future__ import annotations

from functools import cache
from typing import Any

from lxml import etree

from tests.peers import openleadr


@cache
def schema() -> etree.XMLSchema:
    """The compiled schema of oadrPayload and all that it may hold."""
    return etree.XMLSchema(file=str(openleadr().xsd / "oadr_20b.xsd"))


def complaint(data: bytes) -> str | None:
    """What the schema first says against a document; None for a valid one."""
    judge: Any = schema()
    return None if judge.validate(etree.fromstring(data)) else judge.error_log[0].message
