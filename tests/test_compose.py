"""What is composed of a configuration, and what of it cannot be."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.compose import VtnService, build
from oadrvtn.model.config import TLS, CertificateFiles, Config, ConfigError, Offer, OfferedPoint, Revocation
from oadrvtn.security import certificates
from oadrvtn.security.certificates import Credential
from oadrvtn.security.revocation import REVOKED


def offering(certs: Path, *sources: str | None) -> Config:
    """A configuration with one report for each source; that of None is constant."""
    point = OfferedPoint(r_id="x", value=1)
    files = CertificateFiles(certificate=certs / "vtn-ec.crt", key=certs / "vtn-ec.key")
    return Config(
        tls=TLS(certificates=(files,), ca=(certs / "ca.crt",)),
        offers=tuple(
            Offer(report_specifier_id=str(number), source=source, data_points=(point,))
            for number, source in enumerate(sources)
        ),
    )


class SourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        module: Any = ModuleType("sources_of_a_test")
        module.known = lambda *_: {}
        module.number = 7
        self.known = module.known
        sys.modules[module.__name__] = module
        self.addCleanup(sys.modules.pop, module.__name__)
        self.certs = Path(self.mktemp())
        certificates.init(self.certs)

    def built(self, *sources: str | None) -> VtnService:
        return build(offering(self.certs, *sources), MemoryReactorClock())

    def test_those_that_the_offers_name_are_found(self) -> None:
        service = self.built(None, "sources_of_a_test:known", "sources_of_a_test:known")
        self.assertEqual({"sources_of_a_test:known": self.known}, service._reporter.sources)

    def test_those_that_cannot_be_used_are_told_all_at_once_each_with_its_place(self) -> None:
        error = self.assertRaises(
            ConfigError, self.built, "nowhere:f", "sources_of_a_test:number", None, "sources_of_a_test:other"
        )
        self.assertEqual(
            [
                ["offers[0].source", "cannot be imported"],
                ["offers[1].source", "is no function"],
                ["offers[3].source", "cannot be imported"],
            ],
            [
                [mistake.split(":")[0], "is no function" if mistake.endswith("no function") else "cannot be imported"]
                for mistake in error.mistakes
            ],
        )

    def test_one_that_cannot_be_used_keeps_a_reload_from_changing_anything(self) -> None:
        service = self.built("sources_of_a_test:known")
        before = service.config
        self.assertRaises(ConfigError, service.reload, offering(self.certs, "nowhere:f"))
        self.assertIs(before, service.config)
        self.assertEqual({"sources_of_a_test:known": self.known}, service._reporter.sources)


class SignerTests(SynchronousTestCase):
    def test_what_a_ven_only_signs_with_is_held_against_the_crls(self) -> None:
        certs = Path(self.mktemp())
        certificates.init(certs)
        good, revoked = (certificates.issue(certs, name).certificate for name in ("good", "revoked"))
        certificates.write_crl(certs, [revoked], timedelta(days=1))
        config = attrs.evolve(offering(certs), revocation=Revocation(crl=(certs / "ca.crl",)))
        service = build(config, MemoryReactorClock())
        self.assertEqual((None, REVOKED), (service.chain.judge(good), service.chain.judge(revoked)))

    def test_answers_are_signed_by_the_certificates_of_now_and_of_connections_from_before(self) -> None:
        certs = Path(self.mktemp())
        certificates.init(certs)
        before = offering(certs)
        service = build(before, MemoryReactorClock())
        ec, rsa = (Credential.load(certs / f"vtn-{kind}.crt", certs / f"vtn-{kind}.key") for kind in ("ec", "rsa"))
        self.assertEqual([ec.fingerprint], list(service.chain.signers))
        files = CertificateFiles(certificate=certs / "vtn-rsa.crt", key=certs / "vtn-rsa.key")
        service.reload(attrs.evolve(before, tls=attrs.evolve(before.tls, certificates=(files,)))).addErrback(
            lambda _: None  # nothing is started
        )
        self.assertEqual([rsa.fingerprint, ec.fingerprint], list(service.chain.signers))
