"""Groups and traits behind the desk, and what joining and leaving does to running events."""

from __future__ import annotations

from typing import Any

from .case import V1, ApiTestCase


class GroupTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)

    def group(self, **fields: Any) -> Any:
        return self.good("POST", "/groups", {"group_id": "north", "name": "North side"} | fields, 201)

    def test_a_made_group_is_shown_and_listed_with_its_vens(self) -> None:
        answer = self.ask("POST", "/groups", {"group_id": "a/b", "name": "North", "ven_ids": ["ven-2", "ven-1"]})
        self.assertEqual((201, f"{V1}/groups/a%2Fb"), (answer.status, answer.header("Location")))
        self.assertEqual(answer.json, self.good("GET", "/groups/a%2Fb"))
        self.assertEqual(["ven-1", "ven-2"], answer.json["ven_ids"])
        (row,) = self.good("GET", "/groups")["groups"]
        self.assertEqual(("a/b", "North", 2), (row["group_id"], row["name"], row["vens"]))

    def test_groups_come_in_pages_by_name_and_are_found_by_text(self) -> None:
        for name in ("c", "a", "b", "Größe"):
            self.good("POST", "/groups", {"group_id": f"id-{name}", "name": name}, 201)
        first = self.good("GET", "/groups?limit=3")
        rest = self.good("GET", f"/groups?limit=3&cursor={first['next']}")
        names = [[row["name"] for row in page["groups"]] for page in (first, rest)]
        self.assertEqual(([["Größe", "a", "b"], ["c"]], None), (names, rest["next"]))
        self.assertEqual(["Größe"], [row["name"] for row in self.good("GET", "/groups?q=gr%C3%B6")["groups"]])

    def test_a_group_without_an_id_gets_one(self) -> None:
        made = self.good("POST", "/groups", {"name": "North"}, 201)
        self.assertEqual("North", self.good("GET", f"/groups/{made['group_id']}")["name"])

    def test_what_cannot_be_a_group_is_refused_at_its_place(self) -> None:
        self.group()
        cases: list[tuple[int, dict[str, Any], str]] = [
            (422, {"group_id": "x"}, "/name"),
            (422, {"name": " "}, "/name"),
            (422, {"name": "x", "ven_ids": ["ven-1", "nobody"]}, "/ven_ids/1"),
            (409, {"name": "x", "group_id": "north"}, "/group_id"),
            (409, {"name": "North side"}, "/name"),
            (422, {"name": "x", "vens": []}, "/vens"),
        ]
        for status, body, pointer in cases:
            (error,) = self.refused(status, "POST", "/groups", body)["errors"]
            self.assertEqual(pointer, error["pointer"], body)
        self.assertEqual(1, len(self.good("GET", "/groups")["groups"]))

    def test_a_group_is_renamed_and_deleted(self) -> None:
        self.group(ven_ids=["ven-1"])
        self.assertEqual("South", self.good("PATCH", "/groups/north", {"name": "South"})["name"])
        self.assertIsNone(self.good("DELETE", "/groups/north", status=204))
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/members")):
            body = {"name": "x"} if method == "PATCH" else None
            self.refused(404, method, f"/groups/north{path}", body)
        self.assertEqual({}, self.good("GET", "/vens/ven-1")["traits"])

    def test_a_group_that_a_running_event_names_is_not_deleted(self) -> None:
        self.group(ven_ids=["ven-1"])
        self.event(event_id="e", target={"group_ids": ["north"]})
        self.assertIn("'e'", self.refused(409, "DELETE", "/groups/north")["detail"])

    def test_who_joins_gets_what_runs_and_who_leaves_loses_it(self) -> None:
        self.group(ven_ids=["ven-1"])
        self.event(event_id="e", target={"group_ids": ["north"]})
        body = {"add": ["ven-2"], "remove": ["ven-1"]}
        for query, members in (("?dry_run=1", ["ven-1"]), ("", ["ven-2"])):
            found = self.good("POST", f"/groups/north/members{query}", body)
            self.assertEqual(["ven-2"], found["ven_ids"])
            self.assertEqual(
                {("ven-1", "e", "removed"), ("ven-2", "e", "shown")},
                {(effect["ven_id"], effect["event_id"], effect["what"]) for effect in found["effects"]},
            )
            self.assertEqual(members, self.good("GET", "/groups/north")["ven_ids"])
        self.assertEqual({"queued": 1}, self.good("GET", "/events/e")["answers"])

    def test_what_would_overlap_is_said_to_be_withheld(self) -> None:
        self.group()
        self.event(event_id="all", target={"ven_ids": ["ven-2"]})
        self.event(event_id="e", target={"group_ids": ["north"]})
        found = self.good("POST", "/groups/north/members", {"add": ["ven-2"]})
        self.assertEqual([{"ven_id": "ven-2", "event_id": "e", "what": "withheld"}], found["effects"])
        self.assertEqual({"withheld": 1}, self.good("GET", "/events/e")["answers"])

    def test_a_member_that_is_not_known_is_named(self) -> None:
        self.group()
        problem = self.refused(422, "POST", "/groups/north/members", {"add": ["nobody"], "remove": ["ven-1", "x"]})
        self.assertEqual(["/add/0", "/remove/1"], [error["pointer"] for error in problem["errors"]])


class TraitTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.office.registered()

    def traits(self, wish: Any, query: str = "") -> Any:
        return self.good("PATCH", f"/vens/ven-1/traits{query}", wish)

    def test_the_kinds_that_are_given_are_replaced(self) -> None:
        self.traits({"resource_ids": ["b", "a"], "party_ids": ["p"]})
        found = self.traits({"resource_ids": ["c"]})
        of_operator = {"source": "operator"}
        expected = {"party_ids": [{"value": "p"} | of_operator], "resource_ids": [{"value": "c"} | of_operator]}
        self.assertEqual(expected, found["traits"])
        self.assertEqual(expected, self.good("GET", "/vens/ven-1")["traits"])
        self.assertEqual({"party_ids"}, self.traits({"resource_ids": []})["traits"].keys())

    def test_a_rehearsal_says_what_would_be_and_changes_nothing(self) -> None:
        self.event(event_id="e", target={"party_ids": ["p"]})
        found = self.traits({"party_ids": ["p"]}, "?dry_run=1")
        self.assertEqual(["shown"], [effect["what"] for effect in found["effects"]])
        self.assertEqual({}, self.good("GET", "/vens/ven-1")["traits"])

    def test_a_ven_of_other_programs_is_not_meant_by_an_event_for_everybody(self) -> None:
        self.traits({"market_contexts": ["urn:other"]})
        self.assertEqual({}, self.event()["answers"])
        self.assertEqual({"queued": 1}, self.event(market_context="urn:other")["answers"])

    def test_what_is_no_trait_is_refused_with_those_that_are(self) -> None:
        problem = self.refused(422, "PATCH", "/vens/ven-1/traits", {"resource": ["a"], "group_ids": ["g"]})
        errors = {error["pointer"]: error["allowed"] for error in problem["errors"]}
        self.assertEqual({"/resource", "/group_ids"}, errors.keys())
        self.assertIn("resource_ids", errors["/resource"])
        self.assertNotIn("group_ids", errors["/resource"])
        wrong: list[Any] = [[], {"resource_ids": "a"}, {"resource_ids": [3]}, {"resource_ids": [""]}]
        for wish in wrong:
            self.refused(422, "PATCH", "/vens/ven-1/traits", wish)
        self.refused(404, "PATCH", "/vens/nobody/traits", {"party_ids": []})
