"""The door: wrong tokens wait, each only where it was shown; those who show right ones do not."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request

from oadrvtn.console import door
from oadrvtn.console.door import Lockout
from oadrvtn.console.token import make_token

from .case import ApiTestCase
from .office import TOKEN

HERE, THERE = "192.0.2.1", "192.0.2.2"


class LockoutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.lockout = Lockout(self.clock, most=100)

    def test_the_first_few_are_free_then_each_wait_is_twice_the_last_up_to_the_longest(self) -> None:
        waits = []
        for _ in range(Lockout.FREE + 12):
            waits.append(self.lockout.wrong((HERE, "")))
            self.clock.advance(waits[-1])
        self.assertEqual([0.0] * Lockout.FREE, waits[: Lockout.FREE])
        self.assertEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900], waits[Lockout.FREE :])

    def test_a_wait_ends_and_what_is_long_ago_is_forgotten(self) -> None:
        for _ in range(Lockout.FREE + 1):
            self.lockout.wrong((HERE, ""))
        self.assertEqual(1, self.lockout.wait((HERE, "")))
        self.clock.advance(1)
        self.assertEqual(0, self.lockout.wait((HERE, "")))
        self.clock.advance(Lockout.LONGEST + 1)
        self.assertEqual(0, self.lockout.wrong((HERE, "")))

    def test_it_remembers_no_more_than_it_may(self) -> None:
        for number in range(1000):
            self.lockout.wrong((f"host-{number}", ""))
        self.assertEqual(100, len(self.lockout))


class DoorTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.address = HERE
        kinds = {True: IPv6Address, False: IPv4Address}
        self.patch(Request, "getClientAddress", lambda request: kinds[":" in self.address]("TCP", self.address, 1))
        self.anna = self.office.token("read", "anna")
        self.token_id = self.office.ask("GET", "/api/v1/tokens/anna").json["token_id"]

    def shows(self, token: str, address: str = HERE) -> int:
        self.address = address
        return self.ask("GET", "/status", token=token).status

    def guesses(self, token: str, address: str = HERE) -> None:
        for _ in range(Lockout.FREE + 1):
            self.assertEqual(401, self.shows(token, address))

    def forged(self) -> str:
        """A token with anna's ID and another secret."""
        return f"oadrvtn_{self.token_id}_{make_token()[-43:]}"

    def test_who_guesses_at_a_token_waits_and_is_told_how_long(self) -> None:
        self.guesses(self.forged())
        answer = self.ask("GET", "/status", token=self.forged())
        self.problem(429, answer)
        self.assertEqual("1", answer.header("Retry-After"))
        self.office.clock.advance(1)
        self.assertEqual(401, self.shows(self.forged()))
        self.assertEqual("2", self.ask("GET", "/status", token=self.forged()).header("Retry-After"))

    def test_while_it_is_locked_there_the_right_secret_tells_nothing(self) -> None:
        self.guesses(self.forged())
        self.assertEqual(429, self.shows(self.anna))
        self.office.clock.advance(1)
        self.assertEqual(200, self.shows(self.anna))
        self.guesses(self.forged())  # the wrong ones of before are forgotten

    def test_a_guesser_elsewhere_does_not_lock_out_who_has_the_token(self) -> None:
        self.guesses(self.forged(), THERE)
        self.assertEqual([429, 200], [self.shows(self.anna, THERE), self.shows(self.anna)])

    def test_unknown_tokens_lock_out_nobody_with_a_known_one_at_the_same_address(self) -> None:
        self.guesses(make_token())
        for unknown in (make_token(), "nonsense-nonsense", TOKEN + "x"):
            self.assertEqual(429, self.shows(unknown))
        self.assertEqual([200, 200], [self.shows(self.anna), self.shows(TOKEN)])

    def test_unknown_tokens_share_one_place_per_address_so_that_made_up_ids_fill_no_memory(self) -> None:
        for _ in range(50):
            self.shows(make_token())
        self.assertEqual(1, len(self.lockout))

    @property
    def lockout(self) -> Lockout:
        found: Any = self.office.door
        return found.lockout

    def test_who_shows_no_token_is_not_taken_for_a_guesser(self) -> None:
        for _ in range(50):
            self.assertEqual(401, self.ask("GET", "/status", token=None).status)
        self.assertEqual(0, len(self.lockout))

    def test_a_customer_of_ipv6_is_one_address_and_ipv4_in_ipv6_is_not(self) -> None:
        for number in range(Lockout.FREE + 1):
            self.shows(make_token(), f"2001:db8:1:2::{number}")
        self.assertEqual(429, self.shows(make_token(), "2001:db8:1:2:ffff::1"))
        self.assertEqual(401, self.shows(make_token(), "2001:db8:1:3::1"))
        self.guesses(make_token(), "::ffff:192.0.2.7")
        self.assertEqual(401, self.shows(make_token(), "::ffff:192.0.2.8"))

    def test_health_is_not_locked(self) -> None:
        self.guesses(make_token())
        self.assertEqual(200, self.office.ask("GET", "/health", token=make_token()).status)

    def test_a_database_that_fails_is_a_fault_and_lets_nobody_in(self) -> None:
        self.office.database.stop()
        self.assertEqual(500, self.shows(self.anna))
        self.assertEqual(401, self.ask("GET", "/status", token=None).status)
        self.flushLoggedErrors()

    def test_tokens_are_compared_by_their_whole_hash_in_constant_time(self) -> None:
        compared: list[tuple[bytes, bytes]] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return one == other

        self.patch(door.hmac, "compare_digest", compare)
        self.shows(self.forged())
        self.assertEqual([32, 32], [len(one) for one, _ in compared])
