"""Changes that meet what has changed since, and requests that come again."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar
from urllib.parse import quote

from oadrvtn.console.desk import ROUTES, Rehearsal
from oadrvtn.storage import answers

from .case import ApiTestCase
from .office import certificate, colons

REQUEST = {"report_specifier_id": "load", "granularity": "1m", "report_back_duration": "5m"}

DEEDS: dict[str, Any] = {
    "POST /vens": {"ven_id": "ven-2", "fingerprints": ["22" * 32]},
    "POST /vens/import": [{"ven_id": "ven-3", "fingerprints": ["33" * 32]}],
    "PATCH /vens/<id:ven_id>": {"name": "x"},
    "PATCH /vens/<id:ven_id>/traits": {"party_ids": ["p"]},
    "POST /vens/<id:ven_id>/request-reregistration": {},
    "POST /vens/<id:ven_id>/requests": {"requests": [REQUEST]},
    "POST /vens/<id:ven_id>/requests/cancel": {"report_request_ids": ["{report_request_id}"]},
    "POST /candidates/<id:fingerprint>/approve": {},
    "POST /groups": {"group_id": "h", "name": "H"},
    "PATCH /groups/<id:group_id>": {"name": "I"},
    "POST /groups/<id:group_id>/members": {"add": ["ven-1"]},
    "POST /market-contexts/<id:market_context>/members": {"add": ["ven-1"]},
    "POST /events": {"market_context": "urn:y", "dtstart": "now", "duration": "15m", "level": 2},
    "PATCH /events/<id:event_id>": {"priority": 1},
    "POST /events/<id:event_id>/cancel": {},
    "POST /wishes": {"report_name": "TELEMETRY_STATUS"},
    "POST /vens/<id:ven_id>/cancel-registration": {},
    "POST /vens/<id:ven_id>/suspend": {},
    "POST /vens/<id:ven_id>/resume": {},
    "POST /revocations": {"fingerprint": "55" * 32},
    "POST /revocations/restore": {"fingerprint": "55" * 32},
    "POST /tokens": {"name": "n", "scope": "read"},
    "DELETE /wishes/<id:wish_id>": None,
    "DELETE /events/<id:event_id>": None,
    "DELETE /groups/<id:group_id>": None,
    "DELETE /vens/<id:ven_id>": None,
    "DELETE /tokens/<id:name>": None,
}
"""Every write of the API, with a body that does something."""
MAKING = {"POST /vens", "POST /vens/import", "POST /groups", "POST /events", "POST /wishes", "POST /tokens"}
"""Those that have nothing there before."""
UNTAGGED = {"POST /revocations", "POST /revocations/restore"}
"""Those that say all that they do, whatever was there; nothing is shown at a place of its own."""
MAKING |= UNTAGGED
TAGGED = {
    deed: f"GET {path}/requests" if "/requests" in deed else f"GET {path}"
    for deed in DEEDS
    if deed not in MAKING and (path := "/".join(deed.partition(" ")[2].split("/")[:3]))
}
"""Where each of the others finds the ETag of what it changes."""


def fill(case: ApiTestCase) -> dict[str, str]:
    """One of each thing that can be changed: what is in the paths and bodies of deeds."""
    case.office.registered("ven-1")
    case.good("POST", "/groups", {"group_id": "g", "name": "G"}, 201)
    case.event(event_id="e", market_context="http://x/y?z")
    wish_id = case.good("POST", "/wishes", {"report_name": "TELEMETRY_USAGE", "r_id": "x"}, 201)["wish_id"]
    (asked,) = case.office.offers("ven-1", "power").report_requests
    case.office.waits("new")
    case.good("POST", "/tokens", {"name": "t", "scope": "read"}, 201)
    return {
        "ven_id": "ven-1", "group_id": "g", "event_id": "e", "market_context": "http://x/y?z", "wish_id": wish_id,
        "fingerprint": colons(certificate("new")), "name": "t", "report_request_id": asked.report_request_id,
    }  # fmt: skip


def named(deed: str, ids: dict[str, str]) -> tuple[str, str]:
    """Method and path of a deed."""
    method, _, path = deed.partition(" ")
    return method, re.sub(r"<id:(\w+)>", lambda found: quote(ids[found[1]], safe=""), path)


def body(deed: str, ids: dict[str, str]) -> Any:
    """What is asked by a deed."""
    return json.loads(json.dumps(DEEDS[deed]).replace("{report_request_id}", ids["report_request_id"]))


class MatchTests(ApiTestCase):
    """If-Match."""

    def setUp(self) -> None:
        super().setUp()
        self.ids = fill(self)

    def tag(self, path: str) -> str:
        tag = self.ask("GET", path).header("ETag")
        assert tag, path
        return tag

    def test_whatever_changes_something_is_refused_where_its_etag_is_stale(self) -> None:
        """Every write of the API, but for those that make something new."""
        deeds = {deed: body for deed, body in DEEDS.items() if deed not in MAKING}
        for deed in sorted(deeds, key=lambda deed: deed.startswith("DELETE")):
            method, path = self.named(deed)
            there = self.named(TAGGED[deed])[1]
            before = self.good("GET", there)
            body = self.body(deed)
            stale = {"If-Match": '"0123", W/"4567"'}
            (error,) = self.refused(412, method, path, body, headers=stale)["errors"]
            self.assertEqual(("If-Match", [self.tag(there)]), (error["header"], error["allowed"]), deed)
            (error,) = self.refused(400, method, path, body, headers={"If-Match": "0123"})["errors"]
            self.assertEqual("If-Match", error["header"])
            self.assertEqual(before, self.good("GET", there), deed)
            fresh = self.ask(method, path, body, headers={"If-Match": f'"0123", {self.tag(there)}'})
            self.assertLess(fresh.status, 300, fresh.body)
            location = fresh.header("Location")
            if fresh.status != 204:
                now = self.tag(location.removeprefix("/api/v1") if location else there)
                self.assertEqual(now, fresh.header("ETag"), deed)

    def test_what_is_made_has_the_etag_that_it_is_shown_with(self) -> None:
        for deed in sorted(MAKING - UNTAGGED - {"POST /vens/import"}):
            method, path = self.named(deed)
            answer = self.ask(method, path, self.body(deed))
            self.assertEqual(201, answer.status, answer.body)
            location = answer.header("Location")
            assert location
            self.assertEqual(self.tag(location.removeprefix("/api/v1")), answer.header("ETag"), deed)

    def test_the_table_of_these_tests_has_every_write(self) -> None:
        writes = {f"{route.method} {route.path}" for route in ROUTES if route.method != "GET"}
        self.assertEqual(writes, DEEDS.keys())
        self.assertEqual(writes - MAKING, TAGGED.keys())
        for route in ROUTES:
            if route.method != "GET":
                self.assertTrue(issubclass(route.query, Rehearsal), route.path)

    def named(self, deed: str) -> tuple[str, str]:
        return named(deed, self.ids)

    def body(self, deed: str) -> Any:
        return body(deed, self.ids)

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

    def test_every_post_is_done_once_under_one_key(self) -> None:
        ids = fill(self)
        for deed in DEEDS:
            method, path = named(deed, ids)
            if method == "POST" and path != "/tokens":  # whose answers are secrets, and not kept
                first, again = (
                    self.ask(method, path, body(deed, ids), headers={"Idempotency-Key": f"k-{deed.replace(' ', '')}"})
                    for _ in range(2)
                )
                self.assertLess(first.status, 300, (deed, first.body))
                self.assertEqual((first.status, first.body), (again.status, again.body), deed)
                for name in ("Location", "ETag"):
                    self.assertEqual(first.header(name), again.header(name), deed)

    def test_a_key_is_for_one_request(self) -> None:
        self.post()
        (error,) = self.problem(422, self.post(level=3))["errors"]
        self.assertEqual("Idempotency-Key", error["header"])
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
