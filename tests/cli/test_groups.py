"""Groups and traits at the command line."""

from __future__ import annotations

from .case import CliTestCase


class GroupTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)

    def test_a_group_is_made_shown_listed_renamed_and_deleted(self) -> None:
        self.has(self.good("group", "create", "North side", "--group-id", "north", "--ven", "ven-1"), "ven-1")
        self.has(self.good("group", "list"), "north", "North side", "1")
        found = [self.shown("group", "list", text)["groups"] for text in ("side", "south")]
        self.assertEqual([1, 0], [len(groups) for groups in found])
        self.has(self.good("group", "rename", "north", "Up there"), "Up there")
        self.assertEqual(["ven-1"], self.shown("group", "show", "north")["ven_ids"])
        self.assertEqual(1, self.run_cli("group", "delete", "north", input="n\n").exit_code)
        self.has(self.good("group", "delete", "north", "--yes"), "north is deleted")
        self.assertEqual([], self.shown("group", "list")["groups"])
        self.has(self.refused("group", "show", "north"), "north")

    def test_joining_and_leaving_tell_what_they_mean_for_events(self) -> None:
        self.good("group", "create", "north")
        self.good("event", "create", "--level", "1", "--group", "north", "--event-id", "e")
        self.has(self.good("group", "add", "north", "ven-1", "--dry-run"), "ven-1", "e", "is sent it")
        self.assertEqual([], self.shown("group", "show", "north")["ven_ids"])
        self.good("group", "add", "north", "ven-1", "ven-2")
        self.has(self.good("group", "remove", "north", "ven-2"), "ven-2", "has it no longer")
        self.assertEqual(["ven-1"], self.shown("group", "show", "north")["ven_ids"])
        self.has(self.refused("group", "add", "north", "nobody"), "add[0]: 'nobody'")

    def test_what_is_withheld_is_told(self) -> None:
        self.good("group", "create", "North", "--group-id", "north")
        self.good("event", "create", "--level", "1", "--ven", "ven-1")
        self.good("event", "create", "--level", "1", "--group", "north")
        self.has(self.good("group", "add", "north", "ven-1"), "would overlap")


class TraitTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.office.registered()

    def test_traits_are_set_shown_and_taken_away(self) -> None:
        self.has(
            self.good("ven", "traits", "ven-1", "resource_ids=b", "resource_ids=a", "market_contexts=http://x/?a=b"),
            "resource_ids", "a", "b", "http://x/?a=b", "operator",
        )  # fmt: skip
        self.has(self.good("ven", "show", "ven-1"), "Resource ids", "a, b")
        self.good("ven", "traits", "ven-1", "resource_ids=")
        self.assertEqual({"market_contexts"}, self.shown("ven", "traits", "ven-1")["traits"].keys())

    def test_a_rehearsal_changes_nothing(self) -> None:
        self.good("event", "create", "--level", "1", "--target", "party_ids=p")
        self.has(self.good("ven", "traits", "ven-1", "party_ids=p", "--dry-run"), "is sent it")
        self.assertEqual({}, self.shown("ven", "traits", "ven-1")["traits"])

    def test_mistakes_are_told(self) -> None:
        self.has(self.refused("ven", "traits", "ven-1", "cooler", code=2), "KIND=VALUE")
        self.has(self.refused("ven", "traits", "ven-1", "resource_id=a"), "did you mean resource_ids?")
