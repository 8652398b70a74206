"""Tokens: shown once, kept as a hash, good for their scope until they end."""

from __future__ import annotations

import re

from oadrvtn.console.desk import ROUTES
from oadrvtn.storage.tokens import SCOPES

from .case import V1, ApiTestCase
from .office import TOKEN


class LifeTests(ApiTestCase):
    def test_a_token_is_shown_once_and_kept_as_a_hash(self) -> None:
        answer = self.ask("POST", "/tokens", {"name": "anna", "scope": "dispatch"})
        self.assertEqual((201, f"{V1}/tokens/anna"), (answer.status, answer.header("Location")))
        made = answer.json
        text = made.pop("token")
        self.assertGreaterEqual(len(text), 64)
        self.assertEqual(("anna", "dispatch", "local"), (made["name"], made["scope"], made["created_by"]))
        self.assertEqual("2027-02-20T12:00:00Z", made["expires_at"])  # 90 days
        self.assertEqual(made, self.good("GET", "/tokens/anna"))
        self.assertEqual([made], self.good("GET", "/tokens")["tokens"])
        with self.office.database._engine.connect() as connection:
            driver = connection.connection.driver_connection
            self.assertIsNotNone(driver)
            dump = "\n".join(driver.iterdump()) if driver else ""
        self.assertIn(made["token_id"], dump)
        self.assertNotIn(text.rpartition("_")[2], dump)
        self.assertNotIn(text[-43:], dump)

    def test_no_answer_with_a_token_is_kept_for_who_asks_again(self) -> None:
        body = {"name": "a", "scope": "read"}
        (error,) = self.refused(400, "POST", "/tokens", body, headers={"Idempotency-Key": "k"})["errors"]
        self.assertEqual("Idempotency-Key", error["header"])
        described = self.good("GET", "/openapi.json")["paths"]
        heads = {
            path: [
                head["name"] for head in described[f"/api/v1/{path}"]["post"]["parameters"] if head["in"] == "header"
            ]
            for path in ("tokens", "vens")
        }
        self.assertEqual({"tokens": ["If-Match"], "vens": ["Idempotency-Key", "If-Match"]}, heads)
        self.assertEqual([], self.good("GET", "/tokens")["tokens"])

    def test_a_rehearsal_makes_none(self) -> None:
        self.assertEqual("", self.good("POST", "/tokens?dry_run=1", {"name": "a", "scope": "read"})["token"])
        self.refused(404, "GET", "/tokens/a")

    def test_a_token_works_until_it_expires(self) -> None:
        token = self.office.token("read", expires_in="1h")
        self.office.clock.advance(3599)
        self.good("GET", "/status", token=token)
        self.office.clock.advance(1)
        self.assertIn("expired", self.refused(401, "GET", "/status", token=token)["detail"])

    def test_a_token_may_be_good_for_always(self) -> None:
        token = self.office.token("read", expires_in=None)
        self.office.clock.advance(100 * 366 * 86400)
        self.good("GET", "/status", token=token)

    def test_a_revoked_token_is_refused_at_once_and_its_name_stays_taken(self) -> None:
        token = self.office.token("admin", "anna")
        self.good("DELETE", "/tokens/anna", status=204, token=token)
        self.assertIn("revoked", self.refused(401, "GET", "/status", token=token)["detail"])
        self.office.clock.advance(60)
        self.good("DELETE", "/tokens/anna", status=204)
        self.assertEqual("2026-11-22T12:00:00Z", self.good("GET", "/tokens/anna")["revoked_at"])
        self.refused(409, "POST", "/tokens", {"name": "anna", "scope": "read"})
        self.refused(404, "DELETE", "/tokens/nobody")

    def test_what_cannot_be_made_is_told_with_its_place(self) -> None:
        cases = [
            ({"name": "local", "scope": "read"}, "/name"),
            ({"name": "program", "scope": "read"}, "/name"),
            ({"name": "a b", "scope": "read"}, "/name"),
            ({"name": "\n", "scope": "read"}, "/name"),
            ({"name": "x" * 65, "scope": "read"}, "/name"),
            ({"name": "a", "scope": "root"}, "/scope"),
            ({"name": "a", "scope": "read", "expires_in": 0}, "/expires_in"),
            ({"name": "a", "scope": "read", "expires_in": -1}, "/expires_in"),
            ({"name": "a", "scope": "read", "expires_in": 1e300}, "/expires_in"),
        ]
        for body, pointer in cases:
            (error,) = self.refused(422, "POST", "/tokens", body)["errors"]
            self.assertEqual(pointer, error["pointer"], body)


class ScopeTests(ApiTestCase):
    def test_each_route_is_closed_to_lesser_scopes_and_open_to_its_own(self) -> None:
        tokens = {scope: self.office.token(scope) for scope in SCOPES}
        for route in ROUTES:
            path = re.sub("<id:.+?>", "x", route.path)
            for scope in SCOPES:
                answer = self.ask(route.method, path, token=tokens[scope])
                self.assertNotEqual(401, answer.status)
                if SCOPES.index(scope) >= SCOPES.index(route.scope):
                    self.assertNotEqual(403, answer.status, (route, scope))
                    continue
                self.assertEqual(route.scope, self.problem(403, answer)["scope"])
                self.assertIn(f'scope="{route.scope}"', answer.header("WWW-Authenticate") or "")

    def test_who_may_only_look_changes_nothing_not_even_for_a_try(self) -> None:
        token = self.office.token("read")
        event = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2}
        for path in ("/events", "/events?dry_run=1"):
            self.refused(403, "POST", path, event, token=token)
        self.assertEqual([], self.good("GET", "/events")["events"])

    def test_no_get_wants_less_than_to_look_and_no_change_is_open_to_who_only_looks(self) -> None:
        for route in ROUTES:
            self.assertIn(route.scope, SCOPES)
            self.assertTrue(route.method == "GET" or route.scope != "read", route.path)

    def test_only_who_administers_makes_tokens_reads_the_log_and_lets_vens_in(self) -> None:
        admin = {(route.method, route.path) for route in ROUTES if route.scope == "admin"}
        for method, path in (
            ("POST", "/tokens"), ("GET", "/tokens"), ("DELETE", "/tokens/<id:name>"), ("GET", "/audit"),
            ("POST", "/vens"), ("POST", "/vens/import"), ("DELETE", "/vens/<id:ven_id>"),
            ("POST", "/candidates/<id:fingerprint>/approve"),
        ):  # fmt: skip
            self.assertIn((method, path), admin)

    def test_the_token_in_the_file_is_good_for_everything(self) -> None:
        self.good("POST", "/tokens", {"name": "a", "scope": "admin"}, 201, token=TOKEN)
