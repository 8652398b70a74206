"""Opts (section 8.5 of the profile) and registration (8.4)."""

from __future__ import annotations

from typing import Any

from oadrvtn.handlers.register_party import EiRegisterParty
from oadrvtn.model.event import EiTarget, Properties
from oadrvtn.model.opt import OadrCancelOpt
from oadrvtn.model.party import (
    EiResponse,
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrQueryRegistration,
    OadrRequestReregistration,
)
from oadrvtn.model.report import OadrRegisterReport
from oadrvtn.model.values import OPT_REASON, Duration
from oadrvtn.storage import events as event_rows
from oadrvtn.storage import vens
from oadrvtn.vtn import audience, opts, registration
from tests.handlers.house import RESOURCES, create
from tests.vtn.house import START

from .lab import LabTestCase, LabVen, opt, plain
from .matrix import proves


def hours(*lengths: str) -> tuple[Properties, ...]:
    """Periods of these lengths, one after the other."""
    periods, start = [], START
    for length in lengths:
        periods.append(Properties(dtstart=start, duration=Duration(length)))
        start = Duration(length).after(start)
    return tuple(periods)


class OptTests(LabTestCase):
    """oadrCreateOpt and oadrCancelOpt."""

    def cancel(self, opt_id: str = "o") -> Any:
        """The answer to oadrCancelOpt."""
        return self.ven.send(OadrCancelOpt(request_id="r", opt_id=opt_id, ven_id=""))

    def timeline(self, length: str = "P7D") -> list[tuple[float, float | None, str]]:
        """What the VEN said of the time from the start of the lab: seconds, seconds, optType."""
        until = Duration(length).after(START)
        return [
            (
                (period.start - START).total_seconds(),
                period.end and (period.end - START).total_seconds(),
                period.opt_type,
            )
            for period in self.lab.read(opts.timeline, "ven-1", START, until)
        ]

    def event(self) -> str:
        """An event that the VEN opted in to."""
        event_id: str = self.lab.event().event_id
        self.ven.answer_all(self.ven.poll())
        return event_id

    def opted(self, event_id: str) -> str | None:
        """The VEN's opt as the ledger has it."""
        found: str | None = self.lab.read(event_rows.line, "ven-1", event_id, 0).opt_type
        return found

    @proves("8.1-schedule")
    def test_a_schedule_is_for_one_market_context_or_for_all(self) -> None:
        self.assertCode("200", self.ven.send(opt(available=hours("PT1H", "PT2H"))))
        self.assertCode("200", self.ven.send(opt(opt_id="p", market_context="http://example.com/program")))
        found = self.lab.read(opts.timeline, "ven-1", START, Duration("P1D").after(START))
        told = {(one.opt_id, one.market_context) for one in found}
        self.assertEqual({("o", None), ("p", "http://example.com/program")}, told)

    @proves("8.1-event")
    def test_an_opt_on_an_event_becomes_the_opt_of_the_ven(self) -> None:
        event_id = self.event()
        self.assertCode("200", self.ven.send(opt((event_id, 0))))
        self.assertEqual("optOut", self.opted(event_id))

    @proves("8.1-one-of")
    def test_an_opt_has_exactly_one_of_event_and_schedule(self) -> None:
        event_id = self.event()
        self.assertCode("454", self.ven.send(opt(available=())))
        self.assertCode("454", self.ven.send(opt((event_id, 0), available=hours("PT1H"))))

    @proves("8.1-foreign")
    def test_another_ven_a_group_or_a_party_is_no_target_for_an_opt(self) -> None:
        self.lab.ven("ven-2")
        for target in (
            EiTarget(ven_ids=("ven-2",)), EiTarget(group_ids=("g",)), EiTarget(group_names=("g",)),
            EiTarget(party_ids=("p",)),
        ):  # fmt: skip
            self.assertCode("462", self.ven.send(opt(target=target)))
        self.assertCode("200", self.ven.send(opt(target=EiTarget(ven_ids=("ven-1",)))))

    @proves("8.1-resource")
    def test_a_resource_of_somebody_else_is_452(self) -> None:
        self.lab.write(audience.set_traits, "ven-1", {"resource_ids": ("boiler",)})
        self.assertCode("200", self.ven.send(opt(target=EiTarget(resource_ids=("boiler",)))))
        self.assertCode("452", self.ven.send(opt(opt_id="p", target=EiTarget(resource_ids=("theirs",)))))

    @proves("8.1-revised")
    def test_the_same_opt_id_revises(self) -> None:
        self.ven.send(opt(available=hours("PT1H", "PT2H")))
        self.assertEqual([(0, 3600, "optOut"), (3600, 10800, "optOut")], self.timeline())
        self.ven.send(opt(available=hours("PT3H"), opt_type="optIn"))
        self.assertEqual([(0, 10800, "optIn")], self.timeline())

    @proves("8.1-echo")
    def test_the_opt_id_is_in_each_answer(self) -> None:
        for message in (opt(), opt(available=()), opt(("nothing", 0))):
            self.assertEqual("o", self.ven.send(message).opt_id)
        self.assertEqual("nothing", self.cancel("nothing").opt_id)

    @proves("8.1-cancel")
    def test_a_cancelled_opt_is_over(self) -> None:
        self.ven.send(opt())
        self.assertCode("452", self.cancel("nothing"))
        self.assertCode("452", self.lab.ven("ven-2").send(OadrCancelOpt(request_id="r", opt_id="o", ven_id="")))
        self.assertCode("200", self.cancel())
        self.assertEqual([], self.timeline())
        self.assertCode("452", self.cancel())

    @proves("8.1-cancel-event")
    def test_after_the_end_of_an_opt_what_was_answered_counts(self) -> None:
        event_id = self.event()
        self.ven.send(opt((event_id, 0)))
        self.assertCode("200", self.cancel())
        self.assertEqual("optIn", self.opted(event_id))

    @proves("8.1-open")
    def test_a_period_of_no_length_is_open_ended(self) -> None:
        self.assertCode("200", self.ven.send(opt(available=hours("PT0S"))))
        self.assertEqual([(0, None, "optOut")], self.timeline())

    @proves("8.1-reasons")
    def test_the_reasons_are_those_of_the_schema_and_x(self) -> None:
        for reason in (*OPT_REASON.choices, "x-mine"):
            self.assertCode("200", self.ven.send(opt(opt_reason=reason)))

    @proves("8.1-events-go-on")
    def test_a_ven_that_opted_out_by_schedule_is_sent_events(self) -> None:
        self.ven.send(opt(available=hours("P1D")))
        event_id = self.lab.event().event_id
        self.assertEqual("oadrDistributeEvent", self.ven.poll().name())
        self.assertIsNone(self.opted(event_id))


class RegistrationTests(LabTestCase):
    """EiRegisterParty."""

    def cancels(self, ven: LabVen, registration_id: str | None = None) -> Any:
        """The answer to a VEN's oadrCancelPartyRegistration."""
        own = registration_id or ven.registration_id or ""
        return ven.send(OadrCancelPartyRegistration(request_id="r", registration_id=own, ven_id=ven.ven_id))

    def row(self, ven_id: str = "ven-1") -> vens.Ven:
        """The VEN in the database."""
        found: vens.Ven = self.lab.read(vens.get, ven_id)
        return found

    @proves("8.2-query")
    def test_a_query_tells_what_is_offered_and_ids_to_who_is_registered(self) -> None:
        query = OadrQueryRegistration(request_id="r")
        answer = self.ven.send(query)
        self.assertEqual((self.ven.registration_id, "ven-1"), (answer.registration_id, answer.ven_id))
        answer = self.lab.stranger("ven-2").send(query)
        self.assertEqual((None, None), (answer.registration_id, answer.ven_id))
        self.assertEqual([("2.0b", ("simpleHttp",))], [(one.profile_name, one.transports) for one in answer.profiles])

    @proves("8.2-certificate")
    def test_the_certificate_says_who_a_ven_is(self) -> None:
        self.lab.ven("ven-2")
        self.assertCode("463", self.ven.send(create(ven_id="ven-2")))
        self.assertCode("452", self.ven.send(create(ven_id="VEN-1")))
        self.assertCode("463", LabVen(self.lab, "unheard of").send(create()))

    @proves("8.2-name")
    def test_a_name_never_refuses(self) -> None:
        for name in ("ven-2", "", None, "<script>"):
            self.assertCode("200", self.ven.send(create(ven_name=name)))
        self.assertEqual("<script>", self.row().ven_name)

    @proves("8.2-assigned")
    def test_a_ven_without_a_ven_id_is_given_one(self) -> None:
        self.lab.resources["EiRegisterParty"] = EiRegisterParty(self.lab.vtn, self.lab.chain, "open")
        answer = LabVen(self.lab, "unheard of").send(create())
        self.assertCode("200", answer)
        self.assertTrue(answer.ven_id)
        self.assertEqual(answer.registration_id, self.row(answer.ven_id).registration_id)

    @proves("8.2-preassigned")
    def test_a_ven_id_that_was_agreed_is_taken(self) -> None:
        answer = self.lab.stranger("ven-2").send(create(ven_id="ven-2"))
        self.assertEqual(("200", "ven-2"), (answer.response.response_code, answer.ven_id))

    @proves("8.2-again")
    def test_a_registration_again_keeps_its_id_whatever_else_changes(self) -> None:
        before = self.ven.registration_id
        for changes in ({}, {"ven_name": "new"}, {"xml_signature": True}):
            self.assertEqual(before, self.ven.register(**changes).registration_id)
        self.assertTrue(self.row().xml_signature)

    @proves("8.2-wrong")
    def test_a_wrong_registration_id_is_452_and_changes_nothing(self) -> None:
        before = self.row()
        self.assertCode("452", self.ven.send(create(registration_id="wrong")))
        self.assertCode("452", self.cancels(self.ven, "wrong"))
        self.assertEqual((before.registration_id, before.epoch), (self.row().registration_id, self.row().epoch))

    @proves("8.2-lost")
    def test_a_ven_that_lost_everything_is_registered_again(self) -> None:
        before = self.ven.registration_id
        answer = self.ven.send(create(registration_id=None, ven_id=None))
        self.assertEqual(
            ("200", before, "ven-1"), (answer.response.response_code, answer.registration_id, answer.ven_id)
        )

    @proves("8.2-epoch")
    def test_a_registration_drops_what_was_queued_and_begins_with_the_reports_then_the_events(self) -> None:
        event_id = self.lab.event().event_id
        self.lab.write(registration.request_reregistration, "ven-1")
        self.ven.register()
        self.assertIsInstance(self.ven.poll(), OadrRegisterReport)
        self.assertEqual(event_id, self.ven.poll().events[0].event.descriptor.event_id)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    @proves("8.2-request")
    def test_the_vtn_asks_for_a_registration_until_it_comes(self) -> None:
        self.lab.write(registration.request_reregistration, "ven-1")
        asked = self.ven.poll()
        self.assertEqual((OadrRequestReregistration, "ven-1"), (type(asked), asked.ven_id))
        self.lab.after(10)
        self.assertEqual(["oadrRequestReregistration"], self.ven.poll_names(1))
        self.ven.register()
        self.assertNotIn("oadrRequestReregistration", self.ven.poll_names(3, every=10))

    @proves("8.2-cancel")
    def test_a_ven_ends_its_registration_and_may_begin_another(self) -> None:
        self.assertCode("452", self.cancels(self.ven, "wrong"))
        answer = self.cancels(self.ven)
        self.assertCode("200", answer)
        self.assertEqual((self.ven.registration_id, "ven-1"), (answer.registration_id, answer.ven_id))
        self.assertFalse(self.row().registered)
        self.ven.registration_id = None
        self.assertCode("200", self.ven.register())

    @proves("8.2-cancel-vtn")
    def test_the_vtn_ends_a_registration(self) -> None:
        self.lab.write(registration.request_cancellation, "ven-1")
        asked = self.ven.poll()
        self.assertEqual((self.ven.registration_id, "ven-1"), (asked.registration_id, asked.ven_id))
        self.assertTrue(self.row().registered)
        answer = self.ven.send(OadrCanceledPartyRegistration(response=EiResponse.ok(asked.request_id)))
        self.assertEqual(("oadrResponse", "200"), (answer.name(), answer.response.response_code))
        self.assertFalse(self.row().registered)

    @proves("8.2-unregistered")
    def test_all_but_query_and_create_is_463_without_a_registration(self) -> None:
        stranger = self.lab.stranger("ven-2")
        for resource in RESOURCES.values():
            for message in resource.methods:
                name = message.name()
                if name in ("oadrQueryRegistration", "oadrCreatePartyRegistration"):
                    continue
                answer = stranger.send(plain(name), resource.service)
                self.assertCode("463", answer)

    @proves("8.2-crossing")
    def test_cancellations_may_cross(self) -> None:
        self.lab.write(registration.request_cancellation, "ven-1")
        asked = self.ven.poll()
        self.assertCode("200", self.cancels(self.ven))
        late = self.ven.send(OadrCanceledPartyRegistration(response=EiResponse.ok(asked.request_id)))
        self.assertIn(late.response.response_code, ("200", "463"))
        self.ven.registration_id = None
        self.assertCode("200", self.ven.register())
        self.assertCode("200", self.ven.poll() and self.ven.request_event())
        self.assertTrue(self.row().registered)

    @proves("8.2-no-address")
    def test_a_ven_without_an_address_pulls(self) -> None:
        for address in (None, "", "None"):
            self.assertCode("200", self.ven.send(create(http_pull_model=None, transport_address=address)))
        self.assertCode("469", self.ven.send(create(http_pull_model=None, transport_address="https://site.example")))

    @proves("8.2-report-only")
    def test_a_report_only_ven_gets_no_events(self) -> None:
        self.ven.register(report_only=True)
        self.ven.take_register_report()
        self.lab.event()
        self.assertEqual(["oadrResponse"], self.ven.poll_names(1))
        self.assertCode("200", self.ven.offer_reports("power"))

    @proves("8.2-profile")
    def test_profile_2_0a_is_refused_with_the_reason(self) -> None:
        answer = self.ven.send(create(profile_name="2.0a"))
        self.assertCode("469", answer)
        self.assertIn("2.0a", answer.response.response_description)
        self.assertEqual("2.0b", answer.profiles[0].profile_name)

    @proves("8.2-frequency")
    def test_the_poll_frequency_is_in_each_good_answer_and_in_no_error(self) -> None:
        for message in (OadrQueryRegistration(request_id="r"), create()):
            self.assertEqual(Duration("PT10S"), self.ven.send(message).requested_poll_freq)
        self.assertIsNone(self.ven.send(create(profile_name="2.0a")).requested_poll_freq)
        self.ven.take_register_report()
        self.lab.write(registration.set_poll_frequency, self.lab.config, "ven-1", 60.0)
        self.assertEqual("oadrRequestReregistration", self.ven.poll().name())
        self.assertEqual(Duration("PT1M"), self.ven.register().requested_poll_freq)
