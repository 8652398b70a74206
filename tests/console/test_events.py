"""Events behind the desk: each route, good and bad."""

from __future__ import annotations

from typing import Any

import sqlalchemy.event

from oadrvtn.console.shapes import write_cursor

from .case import V1, ApiTestCase


class EventTests(ApiTestCase):
    def test_a_made_event_is_queued_for_whom_it_concerns(self) -> None:
        self.office.registered("ven-1")
        self.office.registered("ven-2")
        for target, expected in (({}, 2), ({"ven_ids": ["ven-2"]}, 1)):
            body = {"market_context": f"urn:{expected}", "dtstart": "now", "duration": "15m", "level": 1}
            answer = self.ask("POST", "/events", body | {"target": target})
            self.assertEqual(201, answer.status, answer.body)
            self.assertEqual({"queued": expected}, answer.json["answers"])
            self.assertEqual(
                (0, "active", '"0"'), (answer.json["modification_number"], answer.json["status"], answer.header("ETag"))
            )
            self.assertEqual(f"{V1}/events/{answer.json['event_id']}", answer.header("Location"))

    def test_an_event_shows_every_vens_answer_its_ledger_and_its_history(self) -> None:
        self.office.registered("ven-1")
        self.office.registered("ven-2")
        self.event(event_id="e")
        self.office.opts("ven-1", "e", "optIn")
        self.office.opts("ven-1", "e", "optOut")
        self.good("PATCH", "/events/e", {"priority": 3})
        self.office.opts("ven-2", "e", "optIn", 1)
        found = self.good("GET", "/events/e")
        self.assertEqual({"queued": 1, "optIn": 1}, found["answers"])
        self.assertEqual(
            [("ven-1", 0, "optIn"), ("ven-1", 0, "optOut"), ("ven-2", 1, "optIn")],
            [(a["ven_id"], a["modification_number"], a["opt_type"]) for a in found["history"]],
        )
        states = {(line["ven_id"], line["modification_number"]): line["state"] for line in found["ledger"]}
        self.assertEqual(4, len(states))
        self.assertEqual(("queued", "opted"), (states["ven-1", 1], states["ven-2", 1]))

    def test_what_a_resource_does_is_shown_beside_what_the_ven_opted(self) -> None:
        self.office.registered()
        self.event(event_id="e")
        self.office.opts("ven-1", "e", "optIn")
        self.office.opts_for("ven-1", "e", "optOut", "cooler")
        found = self.good("GET", "/events/e")
        self.assertEqual({"optIn": 1}, found["answers"])
        (opt,) = found["opts"]
        self.assertEqual(("ven-1", "optOut", ["cooler"]), tuple(opt[k] for k in ("ven_id", "opt_type", "resource_ids")))

    def test_an_overdue_answer_is_counted_until_it_comes(self) -> None:
        self.office.registered()
        self.event(event_id="e", duration="1h")
        for moment, overdue in ((299, 0), (1, 1)):
            self.office.clock.advance(moment)
            self.office.flush()
            self.assertEqual(overdue, self.good("GET", "/status")["answers_overdue"])
        (line,) = self.good("GET", "/events/e")["ledger"]
        self.assertEqual("2026-11-22T12:05:00Z", line["unanswered_at"])
        self.office.opts("ven-1", "e", "optIn")
        self.assertEqual(0, self.good("GET", "/status")["answers_overdue"])

    def test_the_status_goes_with_the_clock(self) -> None:
        self.event(event_id="e", dtstart="+10m", ramp_up="5m")
        for seconds, status in ((0, "far"), (300, "near"), (300, "active"), (900, "completed")):
            self.office.clock.advance(seconds)
            self.assertEqual(status, self.good("GET", "/events/e")["status"])

    def test_the_list_holds_what_is_still_sent_or_all(self) -> None:
        self.event(event_id="past", duration="1m")
        self.event(event_id="later", dtstart="+1h")
        self.office.clock.advance(60)
        self.assertEqual(["later"], [e["event_id"] for e in self.good("GET", "/events")["events"]])
        self.assertEqual(["past", "later"], [e["event_id"] for e in self.good("GET", "/events?all=1")["events"]])
        self.assertEqual(["later"], [e["event_id"] for e in self.good("GET", "/events?all=1&limit=1")["events"]])

    def test_numbers_beyond_all_measure_do_not_break_the_list(self) -> None:
        grid = {"hertz": "1e500", "voltage": 230, "ac": True}
        item_base = {"name": "powerReal", "item_units": "W", "power_attributes": grid}
        signal = {"signal_name": "LOAD_DISPATCH", "signal_type": "setpoint", "item_base": item_base}
        body = {"market_context": "http://x/", "dtstart": "now"}
        self.good(
            "POST", "/events", body | {"signals": [signal | {"intervals": [{"duration": "1m", "value": 1}]}]}, 201
        )
        [event] = self.good("GET", "/events")["events"]
        self.assertIsNone(event["signals"][0]["item_base"]["power_attributes"]["hertz"])
        self.refused(
            422, "POST", "/events", body | {"signals": [{"intervals": [{"duration": "1m", "value": 10**400}]}]}
        )

    def test_what_is_shown_of_an_event_makes_the_same_event(self) -> None:
        grid = {"hertz": 50, "voltage": 230, "ac": True}
        signal = {
            "signal_name": "LOAD_DISPATCH",
            "signal_type": "setpoint",
            "intervals": [{"duration": "PT10M", "value": 4}, {"duration": "PT5M", "value": 2.5}],
            "item_base": {"name": "powerReal", "item_units": "W", "si_scale_code": "k", "power_attributes": grid},
            "device_classes": ["Thermostat"],
        }
        body = {
            "market_context": "http://x/",
            "dtstart": "2026-11-22T13:00:00+01:00",
            "signals": [signal],
            "target": {
                "group_ids": ["north"],
                "service_areas": [{"id": "area", "polygon": {"pos_list": [1, 2, 3, 4]}}],
            },
            "vtn_comment": "<&>",
            "startafter": "5m",
        }
        self.good("POST", "/groups", {"group_id": "north", "name": "North"}, 201)
        first = self.good("POST", "/events", body, 201)
        self.assertEqual(("PT15M", "2026-11-22T12:20:00Z"), (first["duration"], first["gone_at"]))
        made = (
            "event_id",
            "modification_number",
            "status",
            "source",
            "created_at",
            "modified_at",
            "ends_at",
            "gone_at",
            "deleted_at",
            "answers",
            "counts",
        )
        said = {name: value for name, value in first.items() if name not in made}
        again = self.good("POST", "/events", said, 201)
        self.assertEqual(said, {name: value for name, value in again.items() if name not in made})

    def test_what_a_rule_refuses_names_the_field(self) -> None:
        self.event(event_id="e")
        cases: list[tuple[int, dict[str, Any], str]] = [
            (409, {"event_id": "e"}, "event_id: 'e' exists"),
            (422, {"level": 7}, "no level of SIMPLE"),
            (422, {"market_context": "nothing"}, "market_context"),
            (422, {"target": {"ven_ids": ["nobody"]}}, "target.ven_ids[0]: 'nobody'"),
            (422, {"dtstart": "-1h"}, "dtstart: "),
            (422, {"response_required": "perhaps"}, "response_required: "),
            (422, {"duration": "99999y"}, "duration: "),
            (422, {"duration": "P9000Y"}, "beyond the calendar"),
            (422, {"signal_name": "NO_SIGNAL"}, "signalName"),
            (422, {"prority": 1}, "did you mean priority?"),
        ]
        for status, fields, reason in cases:
            body = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2} | fields
            self.assertIn(reason, self.refused(status, "POST", "/events", body)["detail"])
        self.assertEqual(1, self.good("GET", "/status")["events"])

    def test_all_mistakes_are_in_one_problem_document(self) -> None:
        item_base = {"name": "powerUnreal", "item_units": "W"}
        signals = [{"intervals": [{"duration": "1m", "value": True}], "item_base": item_base}]
        body = {"prority": 1, "dtstart": "soon", "signals": signals, "x y": 2}
        problem = self.refused(422, "POST", "/events", body)
        errors = {error["pointer"]: error for error in problem["errors"]}
        self.assertEqual(
            {
                "/prority", "", "/dtstart", "/market_context", "/signals/0/intervals/0/value",
                "/signals/0/item_base/name",
            },
            errors.keys(),
        )  # fmt: skip
        self.assertEqual("is missing", errors["/market_context"]["detail"])
        self.assertIn("powerReal", errors["/signals/0/item_base/name"]["allowed"])
        for error in problem["errors"]:
            self.assertIn(error["detail"], problem["detail"])
        self.assertEqual("454", problem["response_code"])

    def test_a_change_raises_the_number_once_and_no_change_does_not(self) -> None:
        self.event(event_id="e")
        self.assertEqual(1, self.good("PATCH", "/events/e", {"level": 1, "duration": "30m"})["modification_number"])
        found = self.good("PATCH", "/events/e", {"priority": 0})
        self.assertEqual((1, "PT30M"), (found["modification_number"], found["duration"]))

    def test_a_change_on_an_outdated_look_is_refused_by_either_lock(self) -> None:
        self.event(event_id="e")
        self.good("PATCH", "/events/e", {"priority": 1, "modification_number": 0})
        self.good("PATCH", "/events/e", {"priority": 2}, headers={"If-Match": '"1"'})
        self.good("PATCH", "/events/e", {"priority": 3}, headers={"If-Match": "*"})
        for path, method in (("/events/e", "PATCH"), ("/events/e/cancel", "POST")):
            problem = self.refused(409, method, path, {"modification_number": 1})
            self.assertIn("the event is at 3", problem["detail"])
            self.assertEqual("450", problem["response_code"])
            self.refused(412, method, path, {}, headers={"If-Match": '"1"'})
            self.refused(400, method, path, {}, headers={"If-Match": "W/1"})
        self.assertEqual(3, self.good("GET", "/events/e")["priority"])

    def test_a_cancelled_event_says_so_and_stays_so(self) -> None:
        self.office.registered()
        self.event(event_id="e")
        found = self.good("POST", "/events/e/cancel", {"reason": "storm is over", "modification_number": 0})
        self.assertEqual(
            ("cancelled", 1, "storm is over"),
            tuple(found[k] for k in ("status", "modification_number", "modification_reason")),
        )
        self.refused(409, "POST", "/events/e/cancel")
        self.refused(409, "PATCH", "/events/e", {"priority": 1})

    def test_a_deleted_event_is_on_no_list_but_that_of_all(self) -> None:
        self.office.registered()
        self.event(event_id="e")
        self.refused(412, "DELETE", "/events/e", headers={"If-Match": '"7"'})
        found = self.good("DELETE", "/events/e", headers={"If-Match": '"0"'})
        self.assertEqual("2026-11-22T12:00:00Z", found["deleted_at"])
        self.assertEqual([], self.good("GET", "/events")["events"])
        self.assertEqual(1, len(self.good("GET", "/events?all=1")["events"]))
        (line,) = self.good("GET", "/events/e")["ledger"]
        self.assertEqual((True, "delivery"), (line["removed"], line["wants"]))
        self.refused(409, "DELETE", "/events/e")

    def test_a_rehearsal_says_whom_it_would_tell_what_and_changes_nothing(self) -> None:
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        told = [{"ven_id": ven_id, "what": "new", "modification_number": 0} for ven_id in ("ven-1", "ven-2")]
        body = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2}
        answer = self.ask("POST", "/events?dry_run=1", body)
        self.assertEqual((200, None), (answer.status, answer.header("Location")))
        self.assertEqual(told, answer.json["told"])
        self.assertEqual([], self.good("GET", "/events?all=1")["events"])
        self.event(event_id="e")
        before = self.good("GET", "/events/e")
        cases: list[tuple[str, str, Any, list[tuple[str, str]]]] = [
            ("PATCH", "", {"priority": 1}, [("ven-1", "modified"), ("ven-2", "modified")]),
            ("PATCH", "", {"priority": 0}, [("ven-1", "new"), ("ven-2", "new")]),
            ("PATCH", "", {"target": {"ven_ids": ["ven-2"]}}, [("ven-1", "cancelled"), ("ven-2", "modified")]),
            ("POST", "/cancel", {}, [("ven-1", "cancelled"), ("ven-2", "cancelled")]),
            ("DELETE", "", None, [("ven-1", "removed"), ("ven-2", "removed")]),
        ]
        for method, path, change, expected in cases:
            found = self.good(method, f"/events/e{path}?dry_run=1", change)
            self.assertEqual(expected, [(one["ven_id"], one["what"]) for one in found["told"]], (method, change))
            self.assertEqual(before, self.good("GET", "/events/e"))

    def test_what_would_be_refused_is_refused_in_a_rehearsal(self) -> None:
        self.event(event_id="e")
        body = {"event_id": "e", "market_context": "urn:y", "dtstart": "now", "duration": "15m", "level": 2}
        self.refused(409, "POST", "/events?dry_run=1", body)

    def test_a_misspelt_rehearsal_does_nothing(self) -> None:
        body = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2}
        for query in ("dryrun=1", "dry_run=yes", "force=perhaps"):
            (error,) = self.refused(422, "POST", f"/events?{query}", body)["errors"]
            self.assertEqual(query.partition("=")[0], error["parameter"])
        self.assertEqual(0, self.good("GET", "/status")["events"])

    def test_what_only_convention_forbids_is_accepted_with_force(self) -> None:
        signal = {"signal_name": "LOAD_DISPATCH", "signal_type": "price", "intervals": [{"duration": "5m", "value": 1}]}
        body = {"market_context": "urn:x", "dtstart": "now", "signals": [signal], "event_id": "e"}
        problem = self.refused(422, "POST", "/events", body)
        (error,) = problem["errors"]
        self.assertEqual("/signals/0/signal_type", error["pointer"])
        self.assertIn("setpoint", error["allowed"])
        self.assertIn("force", problem["detail"])
        self.good("POST", "/events?force=1", body, 201)
        self.refused(422, "PATCH", "/events/e", {"signals": [signal | {"signal_id": "x"}]})
        self.good("PATCH", "/events/e?force=1", {"signals": [signal | {"signal_id": "x"}]})

    def test_what_is_refused_is_told_by_pointers_and_with_what_is_allowed(self) -> None:
        long = {"signals": [{"intervals": [{"duration": "5m", "value": 1}, {"duration": "5m", "value": 4}]}]}
        cases: list[tuple[dict[str, Any], str, list[str] | None]] = [
            ({"level": 7}, "/level", ["0", "1", "2", "3"]),
            ({"signal_name": "NO"}, "/signal_name", None),
            (long, "/signals/0/intervals/1/value", ["0", "1", "2", "3"]),
            (long | {"duration": "1h"}, "/signals/0/intervals", None),
            ({"response_required": "perhaps"}, "/response_required", ["always", "never"]),
            ({"target": {"group_names": ["nowhere"]}}, "/target/group_names/0", None),
        ]
        for fields, pointer, allowed in cases:
            short = {} if "signals" in fields else {"duration": "15m", "level": 2}
            body = {"market_context": "urn:x", "dtstart": "now"} | short | fields
            errors = {error["pointer"]: error for error in self.refused(422, "POST", "/events", body)["errors"]}
            self.assertIn(pointer, errors)
            if allowed:
                self.assertEqual(allowed, errors[pointer]["allowed"])
        place = {"id": "a", "polygon": {"pos_list": [1, 2]}}
        unit = {"name": "currencyPerKWh", "item_description": "currencyPerKWh", "item_units": "DOLLARS"}
        signal = {"signal_name": "ELECTRICITY_PRICE", "signal_type": "price", "item_base": unit}
        baseline = {"baseline_id": "b", "baseline_name": "b", "dtstart": "-1d", "duration": "5m", "item_base": unit}
        intervals = {"intervals": [{"duration": "5m", "value": 1}]}
        for fields, pointer in (
            ({"signals": [signal | intervals]}, "/signals/0/item_base/item_units"),
            ({"baseline": baseline | intervals}, "/baseline/item_base/item_units"),
            ({"target": {"service_areas": [place, place | {"id": "1"}]}}, "/target/service_areas/1/id"),
        ):
            short = {} if "signals" in fields else {"duration": "15m", "level": 2}
            body = {"market_context": "urn:x", "dtstart": "now"} | short | fields
            (error,) = self.refused(422, "POST", "/events", body)["errors"]
            self.assertEqual(pointer, error["pointer"])
            self.assertEqual(pointer.endswith("units"), "EUR" in error.get("allowed", ()))
        self.event(event_id="e")
        (error,) = self.refused(422, "PATCH", "/events/e", {"level": 9, "duration": "5m"})["errors"]
        self.assertEqual("/level", error["pointer"])

    def test_a_level_alone_is_that_of_all_intervals_of_the_signal_that_has_one(self) -> None:
        self.event(event_id="e")
        row = self.good("PATCH", "/events/e", {"level": 1, "priority": 3})
        self.assertEqual(([{"duration": "PT15M", "value": 1.0}], 3), (row["signals"][0]["intervals"], row["priority"]))
        (error,) = self.refused(422, "PATCH", "/events/e", {"level": 9})["errors"]
        self.assertEqual(("/level", ["0", "1", "2", "3"]), (error["pointer"], error["allowed"]))
        for level in (None, "2"):
            (error,) = self.refused(422, "PATCH", "/events/e", {"level": level})["errors"]
            self.assertEqual("/level", error["pointer"])
        (error,) = self.refused(422, "PATCH", "/events/e", {"level": 1, "signals": row["signals"]})["errors"]
        self.assertEqual("/level", error["pointer"])
        hour = [{"duration": "1h", "value": 0.5}]
        load = {"signal_name": "LOAD_CONTROL", "signal_type": "x-loadControlCapacity", "intervals": hour}
        self.good("PATCH", "/events/e?force=1", {"signals": [load, load], "duration": "1h"})
        (error,) = self.refused(422, "PATCH", "/events/e", {"level": 1})["errors"]
        self.assertIn("which", error["detail"])

    def test_a_duration_alone_is_that_of_the_one_interval_of_each_signal(self) -> None:
        self.event(event_id="e")
        hour = [{"duration": "1h", "value": 0.5}]
        load = {"signal_name": "LOAD_CONTROL", "signal_type": "x-loadControlCapacity", "intervals": hour}
        self.good("PATCH", "/events/e", {"signals": [{"intervals": [{"duration": "1h", "value": 2}]}, load]})
        row = self.good("PATCH", "/events/e", {"duration": "2h", "priority": 3})
        lengths = [interval["duration"] for signal in row["signals"] for interval in signal["intervals"]]
        self.assertEqual((["PT2H", "PT2H"], "PT2H", 2), (lengths, row["duration"], row["modification_number"]))
        self.assertEqual([2.0, 0.5], [signal["intervals"][0]["value"] for signal in row["signals"]])
        self.good("PATCH", "/events/e", {"signals": [load | {"intervals": hour * 2}]})
        (error,) = self.refused(422, "PATCH", "/events/e", {"duration": "3h"})["errors"]
        self.assertEqual("/signals/0/intervals", error["pointer"])

    def test_an_id_of_the_path_is_a_parameter(self) -> None:
        (error,) = self.refused(404, "PATCH", "/events/x", {"priority": 1})["errors"]
        self.assertEqual("event_id", error["parameter"])
        self.event(event_id="e")
        (error,) = self.refused(422, "PATCH", "/events/e", {"event_id": "f"})["errors"]
        self.assertEqual("/event_id", error["pointer"])

    def test_two_events_of_a_market_context_do_not_meet_at_a_ven(self) -> None:
        self.office.registered()
        self.event(event_id="e")
        body = {"market_context": "urn:x", "dtstart": "+5m", "duration": "15m", "level": 2}
        problem = self.refused(409, "POST", "/events", body)
        self.assertEqual("/dtstart", problem["errors"][0]["pointer"])
        for name in ("'e'", "ven-1"):
            self.assertIn(name, problem["detail"])
        self.event(event_id="f", dtstart="+1h")
        for changes, pointer in (
            ({"dtstart": "+5m"}, "/dtstart"),
            ({"level": 1, "duration": "2h"}, "/duration"),
            ({"market_context": "urn:x", "target": {"ven_ids": ["ven-1"]}, "dtstart": "+5m"}, "/dtstart"),
        ):
            problem = self.refused(409, "PATCH", "/events/e" if "level" in changes else "/events/f", changes)
            self.assertEqual(pointer, problem["errors"][0]["pointer"])
        self.event(event_id="g", market_context="urn:other")
        problem = self.refused(409, "PATCH", "/events/g", {"market_context": "urn:x"})
        self.assertEqual("/market_context", problem["errors"][0]["pointer"])

    def test_an_event_that_is_not_known_is_not_found(self) -> None:
        for method, path in (
            ("GET", "/events/x"),
            ("PATCH", "/events/x"),
            ("POST", "/events/x/cancel"),
            ("DELETE", "/events/x"),
        ):
            self.refused(404, method, path)

    def test_ids_may_hold_anything_that_a_path_may_not(self) -> None:
        for event_id in ("a/b", "/x", "x/cancel", "ü?&#", ".."):
            answer = self.ask(
                "POST",
                "/events",
                {"market_context": "urn:x", "dtstart": "now", "duration": "1m", "level": 0, "event_id": event_id},
            )
            location = answer.header("Location")
            assert location
            self.assertEqual(event_id, self.office.ask("GET", location).json["event_id"])
            self.assertEqual(200, self.office.ask("POST", f"{location}/cancel").status)


class EventListTests(ApiTestCase):
    def ids(self, query: str = "") -> list[str]:
        return [row["event_id"] for row in self.good("GET", f"/events{query}")["events"]]

    def test_pages_go_back_in_time_and_hold_every_event_once(self) -> None:
        for number in (3, 1, 4, 0, 2):
            self.event(event_id=f"e{number}", dtstart=f"+{number}h", market_context=f"urn:{number}")
        query, pages = "?limit=2", []
        while query:
            answer = self.ask("GET", f"/events{query}")
            pages.append([row["event_id"] for row in answer.json["events"]])
            cursor = answer.json["next"]
            query = cursor and f"?limit=2&cursor={cursor}"
            link = f'</api/v1/events?limit=2&cursor={cursor}>; rel="next"' if cursor else None
            self.assertEqual(link, answer.header("Link"))
            if cursor:
                self.event(event_id=f"new{len(pages)}", dtstart="+2d", market_context=f"urn:{cursor}")
        self.assertEqual([["e3", "e4"], ["e1", "e2"], ["e0"]], pages)

    def test_events_are_found_by_status_context_ven_group_and_time(self) -> None:
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        self.good("POST", "/groups", {"group_id": "g", "name": "G", "ven_ids": ["ven-1"]}, 201)
        self.event(event_id="far", dtstart="+2h", market_context="urn:a", ramp_up="10m")
        self.event(event_id="near", dtstart="+1m", market_context="urn:b", ramp_up="10m", target={"ven_ids": ["ven-1"]})
        self.event(event_id="active", market_context="urn:c", target={"ven_ids": ["ven-2"]})
        self.event(event_id="cancelled", dtstart="+1m", market_context="urn:d")
        self.good("POST", "/events/cancelled/cancel")
        for status in ("far", "near", "active", "cancelled"):
            self.assertEqual([status], self.ids(f"?status={status}"))
        cases = {
            "?market_context=urn:b": ["near"],
            "?ven_id=ven-2&status=active": ["active"],
            "?ven_id=ven-1": ["cancelled", "near", "far"],
            "?group_id=g": ["cancelled", "near", "far"],
            "?group_id=nobody": [],
            "?since=%2B1h": ["far"],
            "?until=%2B1m": ["active"],
            "?since=%2B1m&until=%2B2m": ["active", "cancelled", "near"],
        }
        for query, expected in cases.items():
            self.assertEqual(expected, self.ids(query), query)
        self.office.clock.advance(3600)
        self.assertEqual(["active", "near"], self.ids("?status=completed&all=1"))

    def test_counts_tell_who_was_offered_an_event_and_who_answered(self) -> None:
        for ven_id in ("ven-1", "ven-2", "ven-3"):
            self.office.registered(ven_id)
        self.event(event_id="e")
        self.office.opts("ven-1", "e", "optIn")
        self.office.opts("ven-2", "e", "optOut")
        counts = {"vens": 3, "offered": 2, "answered": 2, "in": 1, "out": 1, "unanswered": 1, "overdue": 0}
        (row,) = self.good("GET", "/events")["events"]
        self.assertEqual(counts, row["counts"])
        self.assertEqual(counts, self.good("GET", "/events/e")["counts"])

    def test_a_list_of_events_costs_as_many_queries_as_one_event(self) -> None:
        asked: list[str] = []
        engine = self.office.database._readers

        def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
            asked.append(statement)

        sqlalchemy.event.listen(engine, "before_cursor_execute", note)
        self.addCleanup(sqlalchemy.event.remove, engine, "before_cursor_execute", note)
        costs = []
        for number in range(3):
            self.event(event_id=f"e{number}", market_context=f"urn:{number}")
            asked.clear()
            self.assertEqual(number + 1, len(self.ids()))
            costs.append(len(asked))
        self.assertEqual(1, len(set(costs)), costs)

    def test_what_is_no_page_is_refused(self) -> None:
        for query in (
            "?cursor=x",
            "?cursor=WzFd",
            "?cursor=W10",
            "?cursor=bnVsbA",
            "?cursor=%C3%BC",
            "?limit=1001",
            "?limit=0",
            "?status=soon",
            f"?cursor={write_cursor((2**70, 'x'))}",
            f"?cursor={write_cursor((1, chr(0xD800)))}",
            f"?cursor={write_cursor((True, 'x'))}",
        ):
            (error,) = self.refused(422, "GET", f"/events{query}")["errors"]
            self.assertIn(error["parameter"], ("cursor", "limit", "status"))
