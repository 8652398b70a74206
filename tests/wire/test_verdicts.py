"""Mutated messages: what the Alliance's schema refuses we refuse, what it takes we take.

EXCEPTIONS lists every difference, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import VtnError
from oadrvtn.model.event import ITEM_BASES
from oadrvtn.model.messages import MESSAGES
from oadrvtn.wire import decode, encode
from oadrvtn.wire.codec import clark, local
from tests.wire import xsd
from tests.wire.samples import elements, full

Mutation = Callable[[etree._Element], None]
_GML_ID = clark("gml:id")
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"


# --- the mutations ----------------------------------------------------------------------------------


def _parent(node: etree._Element) -> etree._Element:
    parent = node.getparent()
    assert parent is not None
    return parent


def _removed(node: etree._Element) -> None:
    _parent(node).remove(node)


def _doubled(node: etree._Element) -> None:
    double = deepcopy(node)
    for named in double.iter():
        if named.get(_GML_ID):
            named.set(_GML_ID, f"{named.get(_GML_ID)}x")
    node.addnext(double)


def _first(node: etree._Element) -> None:
    _parent(node).insert(0, node)


def _last(node: etree._Element) -> None:
    _parent(node).append(node)


def _into_its_neighbour(node: etree._Element) -> None:
    neighbour = node.getnext() if node.getnext() is not None else node.getprevious()
    if neighbour is not None:
        neighbour.insert(0, node)


def _emptied(node: etree._Element) -> None:
    node[:] = []
    node.text = None


def _named(name: str) -> Mutation:
    def mutation(node: etree._Element) -> None:
        node.tag = name.replace("*", local(str(node.tag)))

    return mutation


def _like_its_neighbour(node: etree._Element) -> None:
    neighbour = node.getnext()
    node.tag = _parent(node).tag if neighbour is None else neighbour.tag


def _attribute(name: str, value: str) -> Mutation:
    return lambda node: node.set(name, value)


def _text(text: str) -> Mutation:
    def mutation(node: etree._Element) -> None:
        node.text = text

    return mutation


def _tail(text: str) -> Mutation:
    def mutation(node: etree._Element) -> None:
        node.tail = text

    return mutation


def _holding(name: str) -> Mutation:
    def mutation(node: etree._Element) -> None:
        node.insert(0, node.makeelement(clark(name)))

    return mutation


AMONG_OTHERS: dict[str, Mutation] = {
    "removed": _removed,
    "doubled": _doubled,
    "moved first": _first,
    "moved last": _last,
    "moved into its neighbour": _into_its_neighbour,
    "renamed like its neighbour": _like_its_neighbour,
    "followed by text": _tail("x"),
    "followed by an odd space": _tail("\u00a0"),
    "followed by white space": _tail("\r\n\t "),
}
"""What may be done to an element that has a parent."""

ALONE: dict[str, Mutation] = {
    "emptied": _emptied,
    "renamed": _named(clark("oadr:oadrOther")),
    "in no namespace": _named("*"),
    "in another namespace": _named("{urn:x}*"),
    "in the namespace ei": _named(clark("ei:*")),
    "in the namespace oadr": _named(clark("oadr:*")),
    "with an attribute": _attribute("x", "1"),
    "with a version": _attribute(clark("ei:schemaVersion"), "2.0b"),
    "with a version without namespace": _attribute("schemaVersion", "2.0b"),
    "with a language": _attribute("{http://www.w3.org/XML/1998/namespace}lang", "en"),
    "with a schemaLocation": _attribute(_XSI + "schemaLocation", "urn:x nowhere.xsd"),
    "nil": _attribute(_XSI + "nil", "true"),
    "not nil": _attribute(_XSI + "nil", "false"),
    "with an unknown xsi": _attribute(_XSI + "x", "1"),
    "with text before its children": _text("x"),
    "with an odd space before its children": _text("\u00a0"),
    "with white space before its children": _text("\n\t "),
    "holding a venID": _holding("ei:venID"),
    "holding a stranger": _holding("oadr:oadrOther"),
}
"""What may be done to any element."""

_NASTY = """
|x| |0|1|-1|+5|-0|+0|00|01| 1 |1.0|1.|.5|.|-.5|1e3|1E+3|1e400|1_0|1,5|0x1|1 2|- 1|+|٣|١.٥|4294967295|4294967296|101
|INF|+INF|-INF|inf|Infinity|NaN|nan|-NaN|\u00a01|1\u00a0|true|false|TRUE|True| true |yes|tr ue
|200|2000|20| 200|99é|٢٠٠|2.0b|2.0c|x-|x-a|x- a|x-\u00a0a|X-a|x-a  b|optIn|optin| optIn|simple|SIMPLE|level|reading
|Direct Read|Direct  Read| Direct\tRead |none|None|always|always |kWh|W|EUR|eur
|2026-01-31T12:00:00Z|2026-01-31T12:00:00| 2026-01-31T12:00:00Z |2026-01-31T12:00:00.Z|2026-01-31T12:00:00.1Z
|2026-01-31T12:00:00.123456789Z|2026-01-31T24:00:00Z|2026-01-31T24:00:00.000|2026-01-31T24:00:01Z
|2026-01-31T24:00:00.1Z|2026-02-30T00:00:00Z|2024-02-29T00:00:00Z|1900-02-29T00:00:00Z|2026-13-01T00:00:00Z
|2026-00-01T00:00:00Z|2026-01-31T12:60:00Z|2026-01-31T12:00:60Z|2026-01-31T25:00:00Z|2026-01-31T12:00:00+00:00
|2026-01-31T12:00:00-05:00|2026-01-31T12:00Z|2026-01-31|2026-01-31 12:00:00Z|2026-01-31t12:00:00z|0000-01-01T00:00:00Z
|+2026-01-31T12:00:00Z|0001-01-01T00:00:00Z|٢026-01-31T12:00:00Z|2026-1-31T12:00:00Z|2026-01-31T12:00:00ZZ
|P|PT|-P|+P1D|-PT5M|P1D|P1DT|P1D1H|P1H|PT1H1M1S|P1Y1M1DT1H1M1S|PT1S1M|PT120M|P1W|1W|-1W|1w|PT0.5S|P1.5D| PT1H
|PT1H |pt1h|P١D|P--1D|PTH|a:b|%|%20|a b|#a|a#b|#a#b|_a|1a|-a|.a|a.b-c|é|·a|]]>|&<>"'|\u202e|\U0001f600|\x85|\ufeff
"""
NASTY = list(dict.fromkeys(_NASTY.replace("\n", "").split("|")))
"""Texts for every place that takes one."""


# --- the two verdicts -------------------------------------------------------------------------------


@attrs.frozen
class Case:
    """A mutated document and its two verdicts: the first complaint of each, None for a good document."""

    node: str
    what: str
    ours: str | None
    schema: str | None

    @property
    def differs(self) -> bool:
        return (self.ours is None) != (self.schema is None)


def _judged(root: etree._Element, node: str, what: str) -> Case:
    data = etree.tostring(root)
    try:
        decode(data, allowed=())
    except VtnError as error:
        return Case(node, what, error.description, xsd.complaint(data))
    return Case(node, what, None, xsd.complaint(data))


# --- the differences --------------------------------------------------------------------------------


def _unsigned(node: etree._Element) -> None:
    _parent(node).insert(0, node.makeelement(clark("ds:Signature")))


def _one_id_twice(node: etree._Element) -> None:
    node.set(_GML_ID, "a")
    node[0][0].set(_GML_ID, "a")


@attrs.frozen
class Difference:
    """Where we mean to differ: an example (an element, and what is done to it) and the mutations it excuses."""

    reason: str
    node: str
    example: Mutation
    excuses: Callable[[Case], bool] = attrs.field(default=lambda case: False)


DIFFERENCES = [
    Difference("a Green Button feed is carried, not read", "feed", _text("x"), lambda case: case.node == "feed"),
    Difference("what xcal:components holds means nothing", "components", _holding("oadr:oadrPoll")),
    Difference("the security room judges a signature, element by element", "oadrSignedObject", _unsigned),
    Difference("xsi:type adds nothing to an element's name", "oadrPoll", _attribute(_XSI + "type", "other")),
    Difference("nothing refers to an xs:ID, so it may stand twice", "FeatureCollection", _one_id_twice),
    Difference(
        "libxml2 knows the letters of XML 1.0's 4th edition, we those of the 5th",
        "FeatureCollection",
        _attribute(_GML_ID, "\U00010000"),
        lambda case: case.node == "@id" and not case.what.isascii(),
    ),
    Difference("libxml2 takes an exponent without digits", "value", _text("1e")),
    Difference("Python's calendar begins with year 1", "createdDateTime", _text("-0001-01-01T00:00:00Z")),
    Difference("Python's calendar ends with year 9999", "createdDateTime", _text("9999-12-31T24:00:00Z")),
    Difference("ten thousand years are enough", "startafter", _text("P10001Y")),
    Difference("no duration needs more than a hundred characters", "startafter", _text(f"PT{1:0100}S")),
    Difference(
        "what stands between the slashes of a URI is not looked at",
        "marketContext",
        _text("http://a:b/"),
        lambda case: case.node == "marketContext" and "]" in case.what,
    ),
]


# --- the tests --------------------------------------------------------------------------------------


def _nodes(root: etree._Element) -> Iterator[tuple[int, etree._Element]]:
    """The elements that a table or the envelope speaks of, with their numbers."""
    foreign = {node for feed in root.iter(clark("atom:feed")) for node in feed.iterdescendants()}
    return ((number, node) for number, node in enumerate(root.iter()) if node not in foreign)


def _places() -> Iterator[tuple[etree._Element, int, etree._Element]]:
    """Every element in every parent, once: a document, the element's number in it, the element."""
    seen = set()
    for pick in range(len(ITEM_BASES)):
        for cls in MESSAGES.values():
            root = etree.fromstring(encode(full(cls, pick, many=1)))
            for number, node in _nodes(root):
                parent = node.getparent()
                place = None if parent is None else parent.tag, node.tag
                if place not in seen:
                    seen.add(place)
                    yield root, number, node


def _mutated(root: etree._Element, number: int, mutation: Mutation) -> etree._Element:
    copied = deepcopy(root)
    mutation(list(copied.iter())[number])
    return copied


def _mutations(root: etree._Element, node: etree._Element) -> dict[str, Mutation]:
    return ALONE if node is root else AMONG_OTHERS | ALONE


class Verdicts(SynchronousTestCase):
    """Ours and that of the schema."""

    def _check(self, cases: Iterable[Case]) -> None:
        for case in cases:
            if case.differs and not any(difference.excuses(case) for difference in DIFFERENCES):
                self.fail(str(case))

    def test_agree_on_every_mutation_of_every_element_in_every_place(self) -> None:
        self._check(
            _judged(_mutated(root, number, mutation), local(node.tag), what)
            for root, number, node in _places()
            for what, mutation in _mutations(root, node).items()
        )

    def test_agree_on_nasty_texts_in_every_place(self) -> None:
        self._check(self._nasty_cases())

    def _nasty_cases(self) -> Iterator[Case]:
        for root, _, node in _places():
            good = node.text
            if not len(node):
                for node.text in NASTY:
                    yield _judged(root, local(node.tag), node.text)
            node.text = good
            attributes: dict[str, str] = {str(name): str(value) for name, value in node.items()}
            for name, good in attributes.items():
                for text in NASTY:
                    node.attrib[name] = text
                    yield _judged(root, f"@{local(name)}", text)
                node.attrib[name] = good

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def test_agree_on_messages_that_were_mutated_more_than_once(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(list(MESSAGES.values())).flatmap(elements))
        root = etree.fromstring(encode(message))
        done = []
        for _ in range(data.draw(st.integers(1, 3))):
            node = data.draw(st.sampled_from([node for _, node in _nodes(root)]))
            what, mutation = data.draw(st.sampled_from(list(_mutations(root, node).items())))
            done.append(f"{local(node.tag)} {what}")
            if done[-1].partition(" ")[0] != "feed":
                mutation(node)
        self._check([_judged(root, "", ", ".join(done))])

    def test_differ_where_we_say_so(self) -> None:
        documents = [etree.fromstring(encode(full(cls, 17))) for cls in MESSAGES.values()]
        for difference in DIFFERENCES:
            root = deepcopy(next(d for d in documents if d.find(f".//{{*}}{difference.node}") is not None))
            difference.example(next(root.iter(f"{{*}}{difference.node}")))
            case = _judged(root, difference.node, difference.reason)
            self.assertTrue(case.differs, case)
