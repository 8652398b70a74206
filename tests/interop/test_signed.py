"""High security: openleadr's VEN and ours, which sign and want signed answers, against ``twistd oadrvtn``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from oadrvtn.security import fingerprint
from oadrvtn.security.certificates import Credential
from oadrvtn.security.signature import Signer
from oadrvtn.security.tls import client_policy, load_authorities
from oadrvtn.ven.client import VenClient, connect
from tests.integration.process import Programs, Vtn, programs_of_a_test
from tests.interop.test_openleadr import Ven, answers_an_event, check, registers_and_reports


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


def demanding(directory: Path, programs: Programs, kind: str) -> Vtn:
    """A VTN with one certificate, of an EC or an RSA key, that takes nothing unsigned."""
    vtn = Vtn.make(directory, programs)
    other = {"ec": "rsa", "rsa": "ec"}[kind]
    lines = vtn.config.read_text().splitlines()
    kept = [line for line in lines if f"vtn-{other}.crt" not in line]
    vtn.config.write_text("\n".join([*kept, "[security]", 'signatures = "require"', ""]))
    vtn.issue("ec-ven")
    vtn.issue("rsa-ven", rsa=True)
    return vtn


def credential(vtn: Vtn, name: str) -> Credential:
    return Credential.load(vtn.certs / f"{name}.crt", vtn.certs / f"{name}.key")


async def signs_and_is_answered(vtn: Vtn, name: str, shown: str) -> None:
    """Both directions of nearly every message; openleadr takes no answer that another certificate has signed."""
    ven = Ven.start(vtn, name, signs=True, vtn_fingerprint=shown)
    await registers_and_reports(vtn, ven)
    await answers_an_event(vtn, ven)
    check(ven, vtn)
    assert all(note["signed"] for note in ven.notes if note["got"] != "nothing")
    await ven.end()


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest_twisted.ensureDeferred
async def test_openleadrs_ven_is_served_signed_both_ways(tmp_path: Path, programs: Programs, kind: str) -> None:
    vtn = demanding(tmp_path, programs, kind)
    await vtn.start()
    shown = fingerprint.show(fingerprint.short(credential(vtn, f"vtn-{kind}").fingerprint))
    lives = [signs_and_is_answered(vtn, name, shown) for name in ("ec-ven", "rsa-ven")]
    await gatherResults([Deferred.fromCoroutine(life) for life in lives], consumeErrors=True)
    assert vtn.process
    assert "signature" not in vtn.process.output
    assert "Traceback" not in vtn.process.output


@pytest_twisted.ensureDeferred
async def test_our_ven_signs_too_and_is_refused_where_it_does_not(tmp_path: Path, programs: Programs) -> None:
    vtn = demanding(tmp_path, programs, "ec")
    await vtn.start()

    def client(name: str) -> VenClient:
        policy = client_policy(credential(vtn, name), load_authorities(vtn.certs / "ca.crt"))
        return connect(reactor, f"https://localhost:{vtn.port}", policy, name)

    for name in ("ec-ven", "rsa-ven"):
        ven = client(name)
        assert (await ven.register()).response.response_code == "454"
        ven.signer = Signer(credential(vtn, name))
        assert (await ven.register()).response.response_code == "200"
        assert (await ven.request_event()).response.response_code == "200"
        ven.signer = Signer(credential(vtn, "vtn-ec"))
        assert (await ven.request_event()).response.response_code == "454"
        await ven.close()
    assert vtn.process
    assert vtn.process.output.count("the message is not signed") == 2
    assert vtn.process.output.count("0 may sign for this VEN") == 2
