"""How many messages of a VEN are taken: what counts, what is free, and what is answered to the rest."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.handlers import chain
from oadrvtn.handlers.exchange import Exchange
from oadrvtn.model.config import Config, Limits
from oadrvtn.model.messages import MESSAGES
from oadrvtn.model.party import OadrResponse
from oadrvtn.vtn.rates import Rate
from oadrvtn.vtn.vtn import ANSWERS
from oadrvtn.wire import encode
from oadrvtn.wire.parser import parse
from tests.handlers.house import House as AnyHouse
from tests.handlers.house import Logged, certificate, code, create, made, poll
from tests.vtn.house import response

AT_ONCE = 5


class House(AnyHouse):
    """Takes five messages at once, and one more every ten seconds."""

    def __init__(self, test: SynchronousTestCase) -> None:
        super().__init__(test, config=Config(vtn_id="vtn", limits=Limits(message_rate=0.1, outbox=AT_ONCE)))
        self.register()
        offered = self.answer("OadrPoll", poll())
        answered = made("oadrRegisteredReport", response=response(request_id=offered.request_id))
        self.answer("EiReport", answered)
        self.rest()

    def rest(self) -> None:
        """Long enough for everything."""
        self.clock.advance(1000)

    def statuses(self, service: str, what: Any, count: int) -> list[int]:
        return [self.exchange(service, what).status for _ in range(count)]


class RateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(self)

    def test_as_many_as_an_outbox_holds_and_not_one_more(self) -> None:
        self.assertEqual([200] * AT_ONCE + [503], self.house.statuses("OadrPoll", poll(), AT_ONCE + 1))
        self.assertEqual(1, self.house.vtn.limited["message_rate"])
        self.assertEqual(1, self.house.chain.answers["oadrPoll", "HTTP 503"])

    def test_who_sends_too_much_is_told_when_to_come_back_and_is_heard_then(self) -> None:
        self.house.statuses("OadrPoll", poll(), AT_ONCE)
        self.house.clock.advance(2)
        exchange = self.house.exchange("OadrPoll", poll())
        self.assertEqual((8, b"too many messages\n"), (exchange.retry_after, exchange.answer))
        self.house.clock.advance(7)
        self.assertEqual([503], self.house.statuses("OadrPoll", poll(), 1))
        self.house.clock.advance(1)
        self.assertEqual([200, 503], self.house.statuses("OadrPoll", poll(), 2))

    def test_a_large_message_is_taken_and_counts_as_several(self) -> None:
        large = encode(poll()).replace(b"<oadr:oadrSignedObject>", b"<oadr:oadrSignedObject>" + b" " * (3 * 128 * 1024))
        sent = [self.house.exchange("OadrPoll", one) for one in (large, poll(), poll())]
        self.assertEqual([200, 200, 503], [exchange.status for exchange in sent])
        self.house.clock.advance(10)
        self.assertEqual([200, 503], self.house.statuses("OadrPoll", large, 2))
        self.house.clock.advance(30)
        self.assertEqual([503], self.house.statuses("OadrPoll", poll(), 1), "it owes what was more than it had")

    def test_another_ven_is_not_concerned(self) -> None:
        self.house.statuses("OadrPoll", poll(), AT_ONCE + 1)
        self.house.register("ven-2")

    def test_a_poll_that_brings_something_is_free(self) -> None:
        for _ in range(3):
            self.house.register()  # which costs one, and has the next poll bring something
            self.assertEqual("oadrRegisterReport", self.house.answer("OadrPoll", poll()).name())
        self.assertEqual([200, 200, 503], self.house.statuses("OadrPoll", poll(), 3))

    def test_answers_to_the_vtn_cost_no_message_and_have_a_rate_of_their_own(self) -> None:
        said = OadrResponse(response=response())
        self.assertEqual([200] * AT_ONCE + [503], self.house.statuses("OadrPoll", said, AT_ONCE + 1))
        # The one too many has cost a message: it was looked at.
        self.assertEqual([200] * (AT_ONCE - 1) + [503], self.house.statuses("OadrPoll", poll(), AT_ONCE))

    def test_answers_are_heard_from_a_ven_that_has_sent_too_much(self) -> None:
        self.house.statuses("OadrPoll", poll(), AT_ONCE + 1)
        for answer in ANSWERS:
            message = made(answer.name())
            exchange = self.house.exchange(MESSAGES[answer.name()].service or "", message)
            self.assertEqual(200, exchange.status, answer)
            self.house.clock.advance(10)
            self.house.statuses("OadrPoll", poll(), 1)

    def test_to_register_again_fills_no_bucket(self) -> None:
        statuses = self.house.statuses("EiRegisterParty", create(), AT_ONCE + 1)
        self.assertEqual([200] * AT_ONCE + [503], statuses)

    def test_what_is_too_much_is_not_even_read_beyond_the_answers_that_it_may_be(self) -> None:
        house, read = self.house, 0

        def reading(body: bytes) -> Any:
            nonlocal read
            read += 1
            return parse(body)

        self.patch(chain, "parse", reading)
        query = made("oadrQueryRegistration")
        self.assertEqual([200] * AT_ONCE + [503] * 95, house.statuses("EiRegisterParty", query, 100))
        self.assertEqual(2 * AT_ONCE, read)
        said = OadrResponse(response=response())
        self.assertEqual([503], house.statuses("OadrPoll", said, 1))
        house.clock.advance(10)
        self.assertEqual([200], house.statuses("EiRegisterParty", query, 1))
        self.assertEqual([200, 503], house.statuses("OadrPoll", said, 2))

    def test_what_cannot_be_read_counts_too(self) -> None:
        self.assertEqual([400] * AT_ONCE + [503], self.house.statuses("OadrPoll", b"<", AT_ONCE + 1))

    def test_what_is_refused_changes_nothing(self) -> None:
        self.house.statuses("OadrPoll", poll(), AT_ONCE)
        cancel = made("oadrCancelPartyRegistration", registration_id="other")
        self.assertEqual([503], self.house.statuses("EiRegisterParty", cancel, 1))
        self.house.rest()
        self.assertEqual("200", code(self.house.answer("OadrPoll", poll())))

    def test_the_log_says_who_it_was(self) -> None:
        self.house.statuses("OadrPoll", poll(), AT_ONCE)
        with Logged() as log:
            self.house.statuses("OadrPoll", poll(), 1)
        self.assertEqual(["ven-1 at 192.0.2.1: oadrPoll is one too many"], log.lines())

    def test_a_noisy_ven_does_not_fill_the_log(self) -> None:
        with Logged() as log:
            self.house.statuses("OadrPoll", poll(), 200)
            self.house.clock.advance(60)
            self.house.vtn.noise.sweep()
        said = log.lines("ven-1")
        self.assertEqual(101, len(said))
        self.assertEqual("ven-1: 95 more lines within a minute were left out", said[-1])

    def test_what_is_free_is_free_for_its_address_as_well(self) -> None:
        resource = self.house.resources["OadrPoll"]
        self.house.register()
        for what, left in ((poll(), 10), (OadrResponse(response=response()), 10), (poll(), 9)):
            bucket = Rate(0.001, 10).bucket(0)
            bucket.take(0)
            begun = Exchange(resource, encode(what), certificate("ven-1"), "192.0.2.1", str, taken=(bucket,))
            self.assertEqual(200, self.successResultOf(resource.handle(begun)).status)
            self.assertEqual([0] * left, [bucket.take(0) for _ in range(left)])
            self.assertNotEqual(0, bucket.take(0))


class ReadingsTests(SynchronousTestCase):
    def test_a_message_with_one_reading_too_many_is_refused_as_a_whole(self) -> None:
        message = made("oadrUpdateReport")
        found = sum(len(interval.payloads) for report in message.reports for interval in report.intervals)
        self.assertGreater(found, 1)
        for most, expected in ((found, False), (found - 1, True)):
            house = AnyHouse(self, config=Config(vtn_id="vtn", limits=Limits(readings=most)))
            house.register()
            answer = house.answer("EiReport", message)
            said = f"oadrUpdateReport: holds {found} readings; {most} are taken at once"
            self.assertEqual(
                expected, (answer.response.response_code, answer.response.response_description) == ("454", said)
            )
            self.assertEqual(int(expected), house.vtn.limited["readings"])
