"""Opts behind the desk: a VEN's timeline, and how many VENs are available."""

from __future__ import annotations

from .case import ApiTestCase


class OptTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        for ven_id in ("ven-1", "ven-2", "ven-3"):
            self.office.registered(ven_id)

    def test_the_timeline_of_a_ven_holds_what_touches_the_time(self) -> None:
        self.office.is_available("ven-1", "optOut", 60, "PT0S", "cooler")
        self.office.is_available("ven-1", "optIn", 10, "PT10M")
        found = self.good("GET", "/vens/ven-1/opts?until=%2B2h")
        self.assertEqual("ven-1", found["ven_id"])
        first, second = found["opts"]
        self.assertEqual(
            ("2026-11-22T12:10:00Z", "2026-11-22T12:20:00Z", "optIn", "mustRun", []),
            tuple(first[name] for name in ("start", "end", "opt_type", "opt_reason", "resource_ids")),
        )
        self.assertEqual((None, "optOut", ["cooler"]), (second["end"], second["opt_type"], second["resource_ids"]))
        self.assertEqual([second], self.good("GET", "/vens/ven-1/opts?since=%2B30m&until=%2B2h")["opts"])

    def test_vens_are_counted_by_what_they_said_of_a_time(self) -> None:
        self.office.is_available("ven-1", "optOut", 0, "PT2H")
        self.office.is_available("ven-2", "optIn", 0, "PT30M")
        expected = {
            "since": "2026-11-22T12:00:00Z", "until": "2026-11-22T13:00:00Z",
            "registered": 3, "available": 0, "unavailable": 1, "partly": 1, "unstated": 1,
        }  # fmt: skip
        self.assertEqual(expected, self.good("GET", "/availability?until=%2B1h"))
        self.assertEqual(1, self.good("GET", "/availability?until=%2B30m")["available"])

    def test_only_vens_of_a_group_or_a_program_are_counted(self) -> None:
        self.good("POST", "/groups", {"group_id": "g", "name": "G", "ven_ids": ["ven-1"]}, 201)
        self.good("PATCH", "/vens/ven-2/traits", {"market_contexts": ["urn:other"]})
        for query, registered in (("group_id=g", 1), ("market_context=urn:x", 2)):
            self.assertEqual(registered, self.good("GET", f"/availability?until=%2B1h&{query}")["registered"])

    def test_a_mistake_names_its_parameter(self) -> None:
        cases = {"": "until", "?until=now&since=now": "until", "?until=soon": "until", "?until=%2B1h&x=1": "x"}
        for query, parameter in cases.items():
            for path in ("/availability", "/vens/ven-1/opts"):
                (error,) = self.refused(422, "GET", path + query)["errors"]
                self.assertEqual(parameter, error["parameter"], query)
        self.refused(404, "GET", "/vens/nobody/opts?until=%2B1h")
