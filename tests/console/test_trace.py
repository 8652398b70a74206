"""The trace of a VEN over the API."""

from __future__ import annotations

from typing import Any

from oadrvtn.vtn.traces import who

from .case import ApiTestCase
from .office import certificate, colons


class TraceTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.office.registered("ven-1")

    def came(self, body: bytes = b"<nonce>1</nonce>", ven: str | None = "ven-1", **told: Any) -> None:
        """A message is noted as the chain does it: of a VEN, or of a certificate that is not known."""
        vtn = self.office.vtn
        entry = vtn.roster.get(ven) if ven else None
        fields = {"peer": "192.0.2.1", "service": "EiEvent", "name": "oadrCreatedEvent", "code": "454"} | told
        vtn.traces.note(who(entry.ven if entry else None, certificate("stranger")), "in", body, **fields)

    def test_messages_are_shown_with_what_is_known_of_them(self) -> None:
        self.came(verdict="is missing", place="a/b", bends=("bare_root",), signed=True, incident="1f")
        found = self.good("GET", "/vens/ven-1/trace")
        (message,) = found["messages"]
        self.assertEqual(
            {
                "at": "2026-11-22T12:00:00Z", "direction": "in", "peer": "192.0.2.1", "service": "EiEvent",
                "name": "oadrCreatedEvent", "code": "454", "size": 16, "verdict": "is missing", "place": "a/b",
                "bends": ["bare_root"], "signed": True, "incident": "1f", "document": "<nonce>(hidden)</nonce>",
            },
            {name: value for name, value in message.items() if name != "number"},
        )  # fmt: skip
        self.assertEqual(("ven-1", 0), (found["ven_id"], found["idle_polls"]))

    def test_what_came_since_the_last_look_is_told_to_who_follows(self) -> None:
        nothing = self.good("GET", "/vens/ven-1/trace")
        self.assertEqual([], nothing["messages"])
        self.came(name="oadrPoll")
        first = self.good("GET", f"/vens/ven-1/trace?cursor={nothing['next']}")
        self.assertEqual(["oadrPoll"], [message["name"] for message in first["messages"]])
        again = self.good("GET", f"/vens/ven-1/trace?cursor={first['next']}")
        self.assertEqual(([], first["next"]), (again["messages"], again["next"]))
        self.refused(422, "GET", "/vens/ven-1/trace?cursor=x")

    def test_a_ven_that_is_not_known_has_none(self) -> None:
        self.refused(404, "GET", "/vens/nobody/trace")

    def test_that_of_a_certificate_is_found_by_its_fingerprint_whole_or_short(self) -> None:
        self.came(ven=None)
        whole = certificate("stranger")
        for known in (whole, whole[-10:]):
            found = self.good("GET", f"/candidates/{colons(known)}/trace")
            self.assertEqual(["454"], [message["code"] for message in found["messages"]])
        self.assertEqual([], self.good("GET", f"/candidates/{'00' * 10}/trace")["messages"])
        self.refused(422, "GET", "/candidates/stranger/trace")
