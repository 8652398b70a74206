"""Events at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from oadrvtn.cli import main

from .case import CliTestCase


class EventTests(CliTestCase):
    def event(self, *arguments: str) -> Any:
        return self.shown("event", "create", *arguments)

    def test_the_short_form_makes_an_event_of_15_minutes_from_now_on(self) -> None:
        self.office.registered()
        self.has(
            self.good("event", "create", "--level", "2", "--event-id", "e"),
            "event e is made",
            "SIMPLE level 2",
            "1 queued",
        )
        found = self.shown("event", "show", "e")
        self.assertEqual(
            ("active", "2026-11-22T12:00:00Z", "PT15M"), tuple(found[k] for k in ("status", "dtstart", "duration"))
        )

    def test_options_say_everything_that_is_simple(self) -> None:
        for ven_id in ("ven-1", "ven-2", "ven-3"):
            self.office.registered(ven_id)
        self.good("group", "create", "North", "--group-id", "north")
        found = self.event(
            "--level", "1", "--duration", "1h30m", "--start", "+10m", "--market-context", "http://x/",
            "--ven", "ven-1", "--ven", "ven-2", "--group", "north", "--resource", "r", "--priority", "1", "--test",
            "--comment", "a comment", "--response", "never", "--notification", "5m", "--ramp-up", "2m",
            "--recovery", "3m", "--startafter", "1m", "--event-id", "e", "--target", "party_ids=p",
            "--device-class", "Thermostat",
        )  # fmt: skip
        expected = {
            "event_id": "e", "dtstart": "2026-11-22T12:10:00Z", "duration": "PT1H30M", "market_context": "http://x/",
            "target": {
                "ven_ids": ["ven-1", "ven-2"], "group_ids": ["north"], "resource_ids": ["r"], "party_ids": ["p"],
            },
            "priority": 1, "test_event": True, "vtn_comment": "a comment", "response_required": "never",
            "notification": "PT5M", "ramp_up": "PT2M", "recovery": "PT3M", "startafter": "PT1M",
            "answers": {"queued": 2}, "status": "far",
        }  # fmt: skip
        self.assertEqual(expected, {name: found[name] for name in expected})
        self.assertEqual(["Thermostat"], found["signals"][0]["device_classes"])
        self.has(self.refused("event", "create", "--level", "1", "--target", "party", code=2), "KIND=VALUE")

    def test_in_and_for_are_shorter_words_for_start_and_duration(self) -> None:
        found = self.event("--level", "2", "--in", "10m", "--for", "1h", "--event-id", "e")
        self.assertEqual(("2026-11-22T12:10:00Z", "PT1H"), (found["dtstart"], found["duration"]))
        found = self.shown("event", "modify", "e", "--in", "20m", "--for", "2h")
        self.assertEqual(("2026-11-22T12:20:00Z", "PT2H"), (found["dtstart"], found["duration"]))
        both = ("--in", "10m", "--start", "+10m")
        self.has(self.refused("event", "create", "--level", "2", *both, code=2), "give one of them")
        self.has(self.refused("event", "create", "--level", "2", "--in", "soon"), "dtstart")

    def test_a_price_is_one_per_kwh_in_a_currency(self) -> None:
        (signal,) = self.event("--price", "0.35", "--currency", "USD")["signals"]
        self.assertEqual(
            ("ELECTRICITY_PRICE", "price", 0.35),
            (signal["signal_name"], signal["signal_type"], signal["intervals"][0]["value"]),
        )
        self.assertEqual(("currencyPerKWh", "USD"), (signal["item_base"]["name"], signal["item_base"]["item_units"]))

    def test_a_file_says_the_rest_and_options_count_more(self) -> None:
        signals = [{"intervals": [{"duration": "5m", "value": 1}, {"duration": "5m", "value": 2}]}]
        fields = {"signals": signals, "market_context": "http://file/", "priority": 3}
        file = Path(self.mktemp())
        file.write_text(json.dumps(fields))
        found = self.event("--file", str(file), "--priority", "1")
        self.assertEqual(
            ("PT10M", "http://file/", 1), tuple(found[k] for k in ("duration", "market_context", "priority"))
        )
        made = json.loads(self.good("event", "create", "--file", "-", "--json", input=json.dumps(fields)))
        self.assertEqual(3, made["priority"])

    def test_a_file_that_says_nothing_is_a_usage_error(self) -> None:
        for content in ("", "nonsense", "[]"):
            self.has(self.refused("event", "create", "--file", "-", code=2, input=content), "--file")

    def test_an_event_that_asks_for_nothing_is_a_usage_error(self) -> None:
        self.has(self.refused("event", "create", "--duration", "5m", code=2), "--level 2")
        self.refused("event", "create", "--level", "4", code=2)

    def test_what_the_vtn_refuses_is_told_with_its_place(self) -> None:
        self.has(self.refused("event", "create", "--level", "1", "--start", "soon"), "dtstart: 'soon' is not a time")
        self.has(self.refused("event", "create", "--level", "1", "--ven", "nobody"), "target.ven_ids[0]: 'nobody'")

    def test_events_are_listed_and_shown_with_every_answer(self) -> None:
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        self.event("--level", "2", "--event-id", "e-1")
        other = ("--market-context", "urn:other")
        self.event("--level", "1", "--event-id", "e-2", "--duration", "1m", "--ven", "ven-2", *other)
        self.office.opts("ven-1", "e-1", "optOut")
        self.has(self.good("event", "list"), "e-1", "everybody", "1 optOut, 1 queued", "e-2", "ven-2")
        self.has(self.good("event", "show", "e-1"), "ven-1", "optOut", "opted", "ven-2", "queued", "All answers")
        self.office.clock.advance(60)
        self.assertNotIn("e-2", self.good("event", "list"))
        self.assertIn("e-2", self.good("event", "list", "--all"))

    def test_a_change_keeps_what_is_not_named(self) -> None:
        self.office.registered()
        self.good("group", "create", "North", "--group-id", "north")
        before = self.event("--level", "2", "--price", "0.3", "--ven", "ven-1", "--event-id", "e")
        self.has(
            self.good("event", "modify", "e", "--level", "1", "--reason", "milder"), "modification 1", "SIMPLE level 1"
        )
        after = self.shown("event", "modify", "e", "--duration", "1h", "--group", "north")
        self.assertEqual([1, 0.3], [signal["intervals"][0]["value"] for signal in after["signals"]])
        self.assertEqual(("PT1H", {"ven_ids": ["ven-1"], "group_ids": ["north"]}), (after["duration"], after["target"]))
        self.assertEqual(*(row["market_context"] for row in (before, after)))

    def test_a_change_that_cannot_be_said_by_options_points_to_the_file(self) -> None:
        self.event("--price", "0.3", "--event-id", "e")
        self.has(self.refused("event", "modify", "e", "--level", "1"), "no signal SIMPLE", "--file")
        several = {"signals": [{"intervals": [{"duration": "5m", "value": 1}] * 2}]}
        self.good("event", "modify", "e", "--file", "-", input=json.dumps(several))
        self.has(self.refused("event", "modify", "e", "--duration", "1h"), "several intervals", "--file")
        self.has(self.refused("event", "modify", "e", code=2), "--level 1")

    def test_options_change_the_signals_of_a_file_and_what_are_none_is_left_to_the_vtn(self) -> None:
        self.event("--level", "2", "--event-id", "e")
        signal = {"intervals": [{"duration": "5m", "value": 1}]}
        fields = json.dumps({"signals": [signal], "market_context": "urn:file"})
        made = json.loads(self.good("event", "create", "--file", "-", "--device-class", "EVSE", "--json", input=fields))
        self.assertEqual(["EVSE"], made["signals"][0]["device_classes"])
        self.good("event", "modify", "e", "--file", "-", "--level", "3", input=json.dumps({"signals": [signal]}))
        self.assertEqual(3, self.shown("event", "show", "e")["signals"][0]["intervals"][0]["value"])
        nonsense: tuple[Any, ...] = (
            "x", ["x"], [{}], [{"intervals": []}], [{"intervals": ["x"]}], [{"intervals": "x"}],
        )  # fmt: skip
        for signals in nonsense:
            fields = json.dumps({"signals": signals, "target": "x"})
            self.has(self.refused("event", "modify", "e", "--file", "-", "--level", "1", input=fields), "target")

    def test_an_option_that_would_do_nothing_is_refused(self) -> None:
        self.has(self.refused("event", "create", "--level", "1", "--currency", "EUR", code=2), "--price")
        fields = json.dumps({"level": 1, "duration": "5m"})
        refused = self.refused("event", "create", "--file", "-", "--device-class", "EVSE", code=2, input=fields)
        self.has(refused, "--device-class")

    def test_a_change_does_not_overwrite_another(self) -> None:
        self.event("--level", "2", "--event-id", "e")
        look = self.office.client().call

        def slow(*what: Any, **more: Any) -> Any:
            found = look(*what, **more)
            look("PATCH", "events", "e", body={"priority": 9})
            return found

        client = self.office.client()
        self.patch(client, "call", lambda *what, **more: (slow if what[0] == "GET" else look)(*what, **more))
        result = CliRunner().invoke(main, ["event", "modify", "e", "--level", "1"], obj=client)
        self.assertEqual(1, result.exit_code)
        self.assertIn("the event is at 1", result.stderr)

    def test_what_is_overdue_removed_or_said_of_a_resource_is_shown(self) -> None:
        for ven_id in ("ven-1", "ven-2"):
            self.office.registered(ven_id)
        self.good("group", "create", "North", "--group-id", "north", "--ven", "ven-1", "--ven", "ven-2")
        self.event("--level", "2", "--event-id", "e", "--duration", "1h", "--group", "north")
        self.office.opts_for("ven-1", "e", "optOut", "cooler")
        self.good("group", "remove", "north", "ven-2")
        self.office.clock.advance(301)
        self.office.flush()
        self.has(self.good("event", "show", "e"), "queued, overdue", "queued, removed", "oadrCreateOpt", "cooler")

    def test_a_rehearsal_shows_whom_it_would_tell_what(self) -> None:
        self.office.registered()
        self.has(self.good("event", "create", "--level", "2", "--dry-run"), "nothing is done", "ven-1", "new")
        self.assertEqual([], self.shown("event", "list")["events"])
        self.event("--level", "2", "--event-id", "e")
        self.has(self.good("event", "modify", "e", "--level", "1", "--dry-run"), "modification 1", "modified")
        self.has(self.good("event", "cancel", "e", "--dry-run"), "cancelled")
        self.has(self.good("event", "delete", "e", "--dry-run"), "removed")
        self.assertEqual("ven-1", self.shown("event", "delete", "e", "--dry-run")["told"][0]["ven_id"])
        self.assertEqual(0, self.shown("event", "show", "e")["modification_number"])

    def test_force_accepts_what_only_convention_forbids(self) -> None:
        signal = {"signal_name": "LOAD_DISPATCH", "signal_type": "price", "intervals": [{"duration": "5m", "value": 1}]}
        fields = json.dumps({"signals": [signal]})
        self.has(self.refused("event", "create", "--file", "-", input=fields), "signals[0].signal_type", "force")
        self.good("event", "create", "--file", "-", "--force", "--event-id", "e", input=fields)
        self.good("event", "modify", "e", "--file", "-", "--force", "--device-class", "EVSE", input=fields)
        self.assertEqual(["EVSE"], self.shown("event", "show", "e")["signals"][0]["device_classes"])

    def test_a_deleted_event_is_only_on_the_list_of_all(self) -> None:
        self.event("--level", "2", "--event-id", "e")
        self.has(self.good("event", "delete", "e"), "e is deleted")
        self.assertEqual([], self.shown("event", "list")["events"])
        self.assertEqual(1, len(self.shown("event", "list", "--all")["events"]))
        self.has(self.refused("event", "delete", "e"), "is deleted")

    def test_an_event_is_cancelled_once(self) -> None:
        self.event("--level", "2", "--event-id", "e")
        self.has(self.good("event", "cancel", "e", "--reason", "storm is over"), "e is cancelled")
        self.assertEqual("storm is over", self.shown("event", "show", "e")["modification_reason"])
        self.has(self.refused("event", "cancel", "e"), "is cancelled")
        self.has(self.refused("event", "cancel", "x"), "is not known")
