"""An OCSP responder that is real but for the network, and may answer wrongly in each way that there is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from oadrvtn.security.certificates import Authority, Credential

OCSP_SIGNING = x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING


def delegate(authority: Authority, usage: Any = OCSP_SIGNING) -> Credential:
    """The certificate of a responder."""
    return authority._issue_leaf("responder", False, [usage])


class Responder:
    """Answers for an authority; the attributes say how."""

    def __init__(self, authority: Authority, now: Any) -> None:
        self.authority = authority
        self.now = now
        self.asked: list[ocsp.OCSPRequest] = []
        self.status = ocsp.OCSPCertStatus.GOOD
        self.signer: Credential = authority.credential
        self.nonce: bytes | bool | None = True
        self.age = timedelta(0)
        self.life: timedelta | None = timedelta(minutes=10)
        self.about: x509.Certificate | None = None
        self.known: dict[int, x509.Certificate] = {}
        self.hash: Any = SHA1()

    def knows(self, *certificates: x509.Certificate) -> None:
        """These it has issued."""
        self.known |= {certificate.serial_number: certificate for certificate in certificates}

    def answer(self, der: bytes) -> bytes:
        """What it says to a request."""
        request = ocsp.load_der_ocsp_request(der)
        self.asked.append(request)
        now: datetime = self.now()
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=self.about or self.known[request.serial_number],
            issuer=self.authority.credential.certificate,
            algorithm=self.hash,
            cert_status=self.status,
            this_update=now - self.age,
            next_update=now - self.age + self.life if self.life else None,
            revocation_time=now if self.status == ocsp.OCSPCertStatus.REVOKED else None,
            revocation_reason=None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, self.signer.certificate)
        if self.signer is not self.authority.credential:
            builder = builder.certificates([self.signer.certificate])
        if self.nonce:
            theirs = request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
            nonce = theirs if self.nonce is True else self.nonce
            builder = builder.add_extension(x509.OCSPNonce(nonce), False)
        return builder.sign(self.signer.key, SHA256()).public_bytes(Encoding.DER)


def failing() -> bytes:
    """An answer that is none."""
    return ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER)
