"""Every message, both directions, held against the Alliance's schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.event import ITEM_BASES
from oadrvtn.model.messages import MESSAGES, Message
from oadrvtn.wire import decode, encode
from oadrvtn.wire.codec import from_xml, to_xml
from tests.wire import xsd
from tests.wire.samples import elements, full


class FullMessages(SynchronousTestCase):
    """Each message with every field that it has."""

    def test_are_valid_and_canonical_and_come_back(self) -> None:
        for cls in MESSAGES.values():
            for pick in range(len(ITEM_BASES)):
                _check(self, full(cls, pick))

    def test_are_kept_as_documents_of_their_own(self) -> None:
        for cls in MESSAGES.values():
            message = full(cls)
            data = to_xml(message)
            self.assertEqual(etree.tostring(etree.fromstring(data), method="c14n"), data)
            self.assertEqual(from_xml(cls, data), message)


class AnyMessage(SynchronousTestCase):
    """Each message as hypothesis makes it: valid, canonical, and the same after a round trip."""


def _check(case: SynchronousTestCase, message: Any) -> None:
    data = encode(message)
    case.assertEqual(etree.tostring(etree.fromstring(data), method="c14n"), data)
    case.assertIsNone(xsd.complaint(data))
    found = decode(data, allowed=())
    case.assertEqual((found.signed, found.bends), (False, ()))
    if found.message != message:  # NaN is not NaN
        case.assertEqual(repr(found.message), repr(message))
    case.assertEqual(encode(found.message), data)


def _property(cls: type[Message]) -> Callable[[AnyMessage], None]:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(message=elements(cls))
    def test(self: AnyMessage, message: Any) -> None:
        _check(self, message)

    return test


for _cls in MESSAGES.values():
    setattr(AnyMessage, f"test_{_cls.name()}", _property(_cls))
