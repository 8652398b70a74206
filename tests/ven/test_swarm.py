"""A fleet in several processes: how it is shared out, and what one of them counts."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.security import certificates
from oadrvtn.ven.fleet import SimulatedVen
from oadrvtn.ven.swarm import Job, Part, Swarm, SwarmError, loopback
from tests.security.link import new_directory

from .vtn import event

JOB = Job(url="https://localhost:1", ca="ca.crt", directory="certs", names=[f"v-{n}" for n in range(10)], gap=0.5)


class JobTests(SynchronousTestCase):
    def test_each_ven_is_in_one_part_and_begins_when_it_would_alone(self) -> None:
        begins = {
            name: part.delay + number * part.gap
            for part in JOB.parts(3)
            for number, name in enumerate(part.names)
        }  # fmt: skip
        self.assertEqual({f"v-{n}": n * 0.5 for n in range(10)}, begins)
        self.assertEqual(3, len(list(JOB.parts(3))))

    def test_no_process_is_without_vens(self) -> None:
        self.assertEqual(10, len(list(JOB.parts(64))))

    def test_it_travels_as_json(self) -> None:
        self.assertEqual(JOB, Job(**json.loads(json.dumps(attrs.asdict(JOB)))))


class AddressTests(SynchronousTestCase):
    def test_each_ven_may_have_a_loopback_address_of_its_own(self) -> None:
        found = {loopback(f"fleet-{number}") for number in range(5000)}
        self.assertGreater(len(found), 4990)
        self.assertTrue(all(ip_address(one).is_loopback for one in found))


class PartTests(SynchronousTestCase):
    def part(self, **more: Any) -> Part:
        """That of two VENs whose certificates are there."""
        directory = new_directory(self)
        certificates.init(directory)
        for _ in certificates.issue_each(directory, ["v-1", "v-2"]):
            pass
        clock: Clock = MemoryReactorClock()
        ca, certs = str(directory / "ca.crt"), str(directory)
        return Part(attrs.evolve(JOB, ca=ca, directory=certs, names=["v-1", "v-2"], **more), clock)

    def vens(self, part: Part) -> list[SimulatedVen]:
        return [ven for ven in part if isinstance(ven, SimulatedVen)]

    def test_the_vens_do_what_the_job_says(self) -> None:
        part = self.part(poll=7.0, report_period=60.0, opts_per_hour=2.0, delay=3.0, opt_out=1.0)
        for number, ven in enumerate(self.vens(part)):
            assert ven.poll_frequency and ven.report_period
            periods = ven.poll_frequency.total_seconds(), ven.report_period.total_seconds()
            self.assertEqual((7.0, 60.0, 2.0, 3.0 + number * 0.5), (*periods, ven.opts_per_hour, ven.delay))
            self.assertEqual("optOut", ven.decide(event()))
            assert ven.client.pool
            self.assertTrue(ven.client.pool.persistent)
            self.assertGreater(ven.client.pool.cachedConnectionTimeout, 7)

    def test_a_share_of_events_is_opted_out_of(self) -> None:
        decide = self.vens(self.part(opt_out=0.25))[0].decide
        said = [decide(event()) for _ in range(1000)]
        self.assertTrue(200 < said.count("optOut") < 300, said.count("optOut"))

    def test_fresh_connections_are_not_kept(self) -> None:
        pool = self.vens(self.part(fresh=True))[0].client.pool
        assert pool
        self.assertFalse(pool.persistent)

    def test_it_tells_what_happened_since_it_last_did(self) -> None:
        part = self.part()
        part.running = 1
        for name, error in (("v-1", None), ("v-1", None), ("v-2", "HTTP 503")):
            part._watch(name, "oadrPoll", 0.1, error)
        told = part.told()
        self.assertEqual(
            (1, 0, [["oadrPoll", "HTTP 503", 1]]), (told["heard"], told["registered"], told["figures"]["errors"])
        )
        self.assertEqual({"times": {}, "errors": []}, part.told()["figures"])
        part.running = 0
        part._watch("v-2", "oadrPoll", 0.1, None)
        self.assertEqual({"times": {}, "errors": []}, part.told()["figures"], "what is cut off is no error")


class ProcessTests(SynchronousTestCase):
    """These start processes."""

    def test_one_that_ends_by_itself_is_told_with_what_it_said(self) -> None:
        swarm = Swarm(attrs.evolve(JOB, ca="/nowhere/ca.crt"), 1)
        with self.assertRaises(SwarmError) as raised:
            for _ in swarm.beats(60):
                pass
        self.assertIn("/nowhere/ca.crt", str(raised.exception))
        swarm.stop()
