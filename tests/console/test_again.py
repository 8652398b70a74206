"""Changes that meet what has changed since, and requests that come again."""

from __future__ import annotations

from typing import Any, ClassVar

from oadrvtn.storage import answers

from .case import ApiTestCase
from .office import certificate, colons


class MatchTests(ApiTestCase):
    """If-Match."""

    def setUp(self) -> None:
        super().setUp()
        self.office.registered("ven-1")
        self.good("POST", "/groups", {"group_id": "g", "name": "G"}, 201)
        self.event(event_id="e")
        self.wish = self.good("POST", "/wishes", {"report_name": "TELEMETRY_USAGE", "r_id": "x"}, 201)["wish_id"]

    def tag(self, path: str) -> str:
        tag = self.ask("GET", path).header("ETag")
        assert tag
        return tag

    def test_whatever_changes_something_is_refused_where_its_etag_is_stale(self) -> None:
        changes: list[tuple[str, str, str, Any]] = [
            ("PATCH", "/vens/ven-1", "", {"name": "x"}),
            ("PATCH", "/vens/ven-1", "/traits", {"party_ids": ["p"]}),
            ("POST", "/vens/ven-1", "/request-reregistration", {}),
            ("POST", "/vens/ven-1", "/cancel-registration", {}),
            ("PATCH", "/groups/g", "", {"name": "H"}),
            ("POST", "/groups/g", "/members", {"add": ["ven-1"]}),
            ("PATCH", "/events/e", "", {"priority": 1}),
            ("POST", "/events/e", "/cancel", {}),
            ("DELETE", "/events/e", "", None),
            ("DELETE", "/groups/g", "", None),
            ("DELETE", "/vens/ven-1", "", None),
        ]
        for method, path, more, body in changes:
            before = self.good("GET", path)
            stale = {"If-Match": '"0123", W/"4567"'}
            self.assertIn("ETag", self.refused(412, method, path + more, body, headers=stale)["detail"])
            self.refused(400, method, path + more, body, headers={"If-Match": "0123"})
            self.assertEqual(before, self.good("GET", path))
            fresh = self.ask(method, path + more, body, headers={"If-Match": f'"0123", {self.tag(path)}'})
            self.assertLess(fresh.status, 300, fresh.body)
            if fresh.status != 204:
                self.assertEqual(self.tag(path), fresh.header("ETag"))
        self.refused(412, "DELETE", f"/wishes/{self.wish}", headers={"If-Match": '"x"'})
        self.good("DELETE", f"/wishes/{self.wish}", status=204, headers={"If-Match": f'"{self.wish}"'})

    def test_an_etag_changes_with_what_operators_say_and_not_with_what_vens_do(self) -> None:
        tag = self.tag("/vens/ven-1")
        self.office.clock.advance(5)
        entry = self.successResultOf(self.office.vtn.identify(certificate("ven-1")))
        assert entry is not None
        self.office.vtn.seen(entry)
        self.office.reports("ven-1", {"power": [1]})
        self.assertEqual(tag, self.tag("/vens/ven-1"))
        seen = {tag}
        for path, body in (
            ("", {"name": "x"}),
            ("", {"leniency": "bare"}),
            ("", {"poll_frequency": 60}),
            ("", {"signatures": "require"}),
            ("", {"signing_fingerprint": colons(certificate("s"))}),
            ("", {"fingerprints": ["00" * 10]}),
            ("/traits", {"market_contexts": ["urn:x"]}),
        ):
            self.good("PATCH", f"/vens/ven-1{path}", body)
            seen.add(self.tag("/vens/ven-1"))
        self.assertEqual(8, len(seen))

    def test_what_is_not_there_is_not_stale(self) -> None:
        for path in ("/vens/x", "/groups/x", "/events/x"):
            self.refused(404, "DELETE", path, headers={"If-Match": '"0"'})


class IdempotencyTests(ApiTestCase):
    """Idempotency-Key."""

    body: ClassVar = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2}

    def post(self, key: str = "k", path: str = "/events", **body: Any) -> Any:
        return self.ask("POST", path, {**self.body, **body}, headers={"Idempotency-Key": key})

    def test_a_request_that_comes_again_gets_its_answer_again_and_does_nothing(self) -> None:
        first = self.post()
        self.office.clock.advance(60)
        again = self.post()
        self.assertEqual((201, first.body), (again.status, again.body))
        for name in ("Location", "ETag", "Content-Type"):
            self.assertEqual(first.header(name), again.header(name))
        self.assertEqual(1, self.good("GET", "/status")["events"])

    def test_a_key_is_for_one_request(self) -> None:
        self.post()
        self.assertIn("Idempotency-Key", self.problem(422, self.post(level=3))["detail"])
        self.problem(422, self.post(path="/events?force=1"))
        self.assertEqual(201, self.post("other", market_context="urn:y").status)
        self.assertEqual(2, self.good("GET", "/status")["events"])

    def test_what_failed_or_was_only_tried_is_not_kept(self) -> None:
        self.problem(422, self.post(level=9))
        self.assertEqual(200, self.post(path="/events?dry_run=1").status)
        self.assertEqual(201, self.post().status)

    def test_a_deed_without_something_made_is_not_done_twice(self) -> None:
        self.office.registered()
        for _ in range(2):
            answer = self.ask("POST", "/vens/ven-1/request-reregistration", headers={"Idempotency-Key": "r"})
            self.assertEqual(202, answer.status)
        kinds = [entry["kind"] for entry in self.good("GET", "/vens/ven-1")["outbox"]]
        self.assertEqual(1, kinds.count("request_reregistration"))

    def test_keys_are_forgotten_after_a_day_and_where_they_are_too_many(self) -> None:
        self.post(event_id="e")
        self.office.clock.advance(24 * 3600)
        self.problem(409, self.post(event_id="e"))
        self.patch(answers, "MOST", 2)
        for number in range(3):
            self.assertEqual(201, self.post(f"k{number}", market_context=f"urn:{number}").status)
        self.assertEqual(3, self.good("GET", "/status")["events"] - 1)
        self.assertEqual(201, self.post("k2", market_context="urn:2").status)
        self.problem(422, self.post("k2"))
        self.assertEqual(201, self.post("k0", market_context="urn:new").status)

    def test_a_key_that_cannot_be_one_is_refused(self) -> None:
        for key in ("", "a b", "x" * 256, "\u00fc"):
            self.problem(400, self.post(key))
