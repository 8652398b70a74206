"""OCSP: authorities are asked, over HTTP, whether the certificate that a peer showed is good; what they say is kept.

How the question travels is an argument.  The certificate of the peer alone is asked about, not its intermediates.
"""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from twisted.internet.defer import Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..model import config
from .certificates import printable
from .revocation import HASHES, REVOKED, SKEW, Verified, identity

log = Logger()

Fetch = Callable[[str, str, bytes], Deferred[bytes]]
"""Posts to a URL, of a content type, a body; brings back the answer, with a limit to its size, or is cancelled."""

AT_ONCE = 16
"""So many responders are asked at the same time; who comes then waits."""
PAUSE = 60.0
"""Seconds for which a question that failed is not asked again, and a responder that does not answer is left alone."""
_MOST_RESPONDERS = 100
_MOST_CERTIFICATES = 5
_NONCE = 16
NO_ANSWER = "no OCSP answer"
"""Why a chain is refused that nobody vouches for."""


class OcspFailed(Exception):
    """No answer that can be used; the text says why."""


@attrs.frozen
class Answer:
    """What is known of a certificate: good, revoked, unknown (to its responder) or failed, and why.

    ``until`` (seconds of the clock) it is believed.
    """

    status: str
    until: float
    reason: str = ""


class Ocsp:
    """Asks, and remembers.  ``answers`` counts what came, by status.

    ``clock`` is for all that waits; answers are held against ``now``, which may be set.
    """

    def __init__(self, fetch: Fetch, clock: IReactorTime, now: Callable[[], datetime]) -> None:
        self.answers: Counter[str] = Counter()
        self._fetch = fetch
        self._clock = clock
        self._now = now
        self._settings = config.Revocation()
        self._kept: OrderedDict[tuple[bytes, int], Answer] = OrderedDict()
        self._asked: dict[tuple[bytes, int], list[Deferred[Answer]]] = {}
        self._silent: OrderedDict[str, float] = OrderedDict()
        self._turns = DeferredSemaphore(AT_ONCE)

    def configure(self, settings: config.Revocation) -> None:
        """Ask like this from now on; what was said under other settings is forgotten."""
        if settings != self._settings:
            self._settings = settings
            self._kept.clear()
            self._silent.clear()

    @property
    def asks(self) -> bool:
        """Whether anybody is asked at all."""
        return self._settings.ocsp != "off"

    def refusal(self, answer: Answer) -> str | None:
        """Why a certificate is not to be taken; None: nothing speaks against it."""
        if answer.status == "revoked":
            return REVOKED
        return NO_ANSWER if answer.status != "good" and self._settings.ocsp == "hard" else None

    def remembered(self, chain: Verified) -> str | None:
        """Why a chain is not to be taken, as far as that is known already."""
        if not self.asks or len(chain) < 2:
            return None
        kept = self._kept.get((identity(chain[1]), chain[0].serial_number))
        return REVOKED if kept and kept.status == "revoked" and kept.until > self._clock.seconds() else None

    def ask(self, chain: Verified) -> Deferred[Answer]:
        """What is known of the first certificate of a chain, or what its responder says; always succeeds."""
        if len(chain) < 2:
            return succeed(Answer("good", self._clock.seconds() + self._settings.ocsp_max_age))
        leaf, issuer = chain[0], chain[1]
        key = identity(issuer), leaf.serial_number
        if (kept := self._kept.get(key)) and kept.until > self._clock.seconds():
            self._kept.move_to_end(key)
            return succeed(kept)
        waiting: Deferred[Answer] = Deferred()
        if key in self._asked:
            self._asked[key].append(waiting)
            return waiting
        self._asked[key] = [waiting]
        asked = self._turns.run(self._ask, leaf, issuer)
        asked.addErrback(self._failed, leaf).addCallback(self._know, key)
        return waiting

    def _ask(self, leaf: x509.Certificate, issuer: x509.Certificate) -> Deferred[Answer]:
        url = self._url(leaf)
        if url is None:
            return fail(OcspFailed("no responder is known for it"))
        if self._silent.get(url, 0) > self._clock.seconds():
            return fail(OcspFailed(f"{url} did not answer a moment ago"))
        nonce = secrets.token_bytes(_NONCE)
        builder = ocsp.OCSPRequestBuilder()
        # SHA-1 names the authority only, and is what responders know (RFC 5019).
        builder = builder.add_certificate(leaf, issuer, SHA1())
        request = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
        came = self._fetch(url, "application/ocsp-request", request.public_bytes(Encoding.DER))
        came.addTimeout(self._settings.ocsp_timeout, self._clock)
        came.addErrback(self._is_silent, url)
        return came.addCallback(self._read, request, issuer, nonce)

    def _url(self, leaf: x509.Certificate) -> str | None:
        """Whom to ask: the responder of the configuration, else, if that is allowed, the one that is named in it."""
        if self._settings.ocsp_responder or not self._settings.ocsp_from_certificate:
            return self._settings.ocsp_responder
        try:
            found = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        except x509.ExtensionNotFound:
            return None
        named = [each for each in found if each.access_method == AuthorityInformationAccessOID.OCSP]
        places = (each.access_location.value for each in named)
        return next((url for url in places if isinstance(url, str) and _is_http(url)), None)

    def _is_silent(self, failure: Failure, url: str) -> Failure:
        self._silent[url] = self._clock.seconds() + PAUSE
        if len(self._silent) > _MOST_RESPONDERS:
            self._silent.popitem(last=False)
        said = failure.getErrorMessage() or failure.type.__name__
        return Failure(OcspFailed(f"{printable(url)[:200]} does not answer: {printable(said)[:200]}"))

    def _read(self, came: bytes, request: ocsp.OCSPRequest, issuer: x509.Certificate, nonce: bytes) -> Answer:
        settings, now = self._settings, self._now()
        longest = timedelta(seconds=settings.ocsp_max_age)
        answer = read(came, request, issuer, nonce, settings.ocsp_nonce == "require", longest, now)
        return attrs.evolve(answer, until=self._clock.seconds() + answer.until - now.timestamp())

    def _failed(self, failure: Failure, leaf: x509.Certificate) -> Answer:
        until = self._clock.seconds() + PAUSE
        if failure.check(OcspFailed):
            return Answer("failed", until, failure.getErrorMessage())
        log.failure("an OCSP answer could not be read", failure)
        return Answer("failed", until, "cannot be read")

    def _know(self, answer: Answer, key: tuple[bytes, int]) -> None:
        self.answers[answer.status] += 1
        if answer.status != "good":
            log.warn(
                "OCSP: certificate {serial} is {status} {reason}",
                serial=f"{key[1]:X}", status=answer.status, reason=answer.reason,
            )  # fmt: skip
        self._kept[key] = answer
        self._kept.move_to_end(key)
        if len(self._kept) > self._settings.ocsp_cache:
            self._kept.popitem(last=False)
        for waiting in self._asked.pop(key):
            waiting.callback(answer)


def _is_http(url: str) -> bool:
    return urlsplit(url).scheme == "http" and url.isascii() and url.isprintable()


def read(
    came: bytes,
    request: ocsp.OCSPRequest,
    issuer: x509.Certificate,
    nonce: bytes,
    wanted: bool,
    longest: timedelta,
    now: datetime,
) -> Answer:
    """What an answer says, once it is seen to be one to this request, signed for this authority, and of now.

    A nonce that it has must be ours; ``wanted``: it must have it.  It is believed for ``longest``, at most; ``until``
    is in seconds since 1970, as ``now`` is told.  Raises OcspFailed.
    """
    try:
        response = ocsp.load_der_ocsp_response(came)
        if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise OcspFailed(f"the responder says {response.response_status.name.lower()}")
        _check_signature(response, issuer, now)
        _check_nonce(response, nonce, wanted)
        single = _found(response, request)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise OcspFailed("what came is no OCSP answer") from error
    end = single.next_update_utc or single.this_update_utc + longest
    if not single.this_update_utc - SKEW <= now <= end:
        raise OcspFailed(f"the answer is not of now: from {single.this_update_utc} to {end}")
    status = {ocsp.OCSPCertStatus.GOOD: "good", ocsp.OCSPCertStatus.REVOKED: "revoked"}
    reason = f"since {single.revocation_time_utc}" if single.revocation_time_utc else ""
    until = max(min(end, now + longest), now + timedelta(seconds=PAUSE))
    return Answer(status.get(single.certificate_status, "unknown"), until.timestamp(), reason)


def _check_nonce(response: ocsp.OCSPResponse, nonce: bytes, wanted: bool) -> None:
    try:
        found = response.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        if wanted:
            raise OcspFailed("the answer has no nonce") from None
        return
    if not secrets.compare_digest(found, nonce):
        raise OcspFailed("the answer has the nonce of another question")


def _found(response: ocsp.OCSPResponse, request: ocsp.OCSPRequest) -> ocsp.OCSPSingleResponse:
    """What is said of the certificate that was asked about."""

    def certificate(of: ocsp.OCSPRequest | ocsp.OCSPSingleResponse) -> tuple[str, bytes, bytes, int]:
        return of.hash_algorithm.name, of.issuer_name_hash, of.issuer_key_hash, of.serial_number

    for single in response.responses:
        if certificate(single) == certificate(request):
            return single
    raise OcspFailed("the answer is about another certificate")


def _check_signature(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> None:
    """The authority itself signs, or a responder that has a certificate of it for that."""
    delegates = [each for each in response.certificates[:_MOST_CERTIFICATES] if _may_answer(each, issuer, now)]
    if not any(_signed(response, signer) for signer in (issuer, *delegates)):
        raise OcspFailed("the answer is not signed for this authority")


def _may_answer(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    in_time = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return in_time and ExtendedKeyUsageOID.OCSP_SIGNING in usages


def _signed(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, algorithm = signer.public_key(), response.signature_hash_algorithm
    if not isinstance(algorithm, HASHES):
        return False
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True
