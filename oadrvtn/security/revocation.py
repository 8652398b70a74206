"""Revocation by lists: the CRL files of the authorities, and what operators have revoked themselves.

OpenSSL could hold chains against CRLs, too, but it knows no other answer to a list that is missing or too old than to
refuse all that its authority has signed, and it cannot be asked about a connection that stands.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..model import config
from . import fingerprint
from .certificates import CertificateFileError, printable

log = Logger()

Verified = Sequence[x509.Certificate]
"""What a peer showed, verified: its own certificate first, the anchor of trust last."""

MOST_BYTES = 64 * 1024 * 1024
"""So large a CRL may be: more than a million certificates."""
SKEW = timedelta(minutes=5)
"""How far the clock of an authority may be ahead."""
HASHES = (SHA256, SHA384, SHA512)
"""By which an authority may sign what it says of revocation."""
REVOKED, WITHDRAWN, UNSURE = "cert revoked", "cert revoked by an operator", "no valid CRL of its authority"
"""Why a chain is refused."""


def identity(authority: x509.Certificate) -> bytes:
    """By what an authority is known, whatever certificate it has: its name and its key."""
    key = authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(authority.subject.public_bytes() + key).digest()


@attrs.frozen
class Crl:
    """A list of revoked certificates; ``issuers`` are the identities of the authorities that signed it."""

    issuer: str
    issuers: frozenset[bytes]
    serials: frozenset[int] = attrs.field(repr=False)
    this_update: datetime
    next_update: datetime

    @classmethod
    def load(cls, path: Path, authorities: Iterable[x509.Certificate]) -> Crl:
        """Read a file (PEM or DER) that one of the authorities signed.  Raises CertificateFileError."""
        try:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise CertificateFileError(path, error.strerror or str(error)) from error
        if len(content) > MOST_BYTES:
            raise CertificateFileError(path, f"is larger than {MOST_BYTES} bytes")
        try:
            read = x509.load_pem_x509_crl if content.lstrip().startswith(b"-----") else x509.load_der_x509_crl
            return cls._of(path, read(content), authorities)
        except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
            raise CertificateFileError(path, "holds no readable CRL") from error

    @classmethod
    def _of(cls, path: Path, crl: x509.CertificateRevocationList, authorities: Iterable[x509.Certificate]) -> Crl:
        issuer = printable(crl.issuer.rfc4514_string())
        named = [authority for authority in authorities if authority.subject == crl.issuer]
        if not named:
            raise CertificateFileError(path, f"{issuer} is none of the authorities (tls.ca)")
        if not isinstance(crl.signature_hash_algorithm, HASHES):
            raise CertificateFileError(path, "is signed by an algorithm that is too weak")
        signers = [authority for authority in named if _may_sign(authority) and _signed(crl, authority)]
        if not signers:
            raise CertificateFileError(path, f"is not signed by {issuer}")
        if fault := next(filter(None, map(_unknown, crl.extensions)), None):
            raise CertificateFileError(path, fault)
        if crl.next_update_utc is None:
            raise CertificateFileError(path, "does not say until when it is good (nextUpdate)")
        return cls(
            issuer,
            frozenset(map(identity, signers)),
            frozenset(revoked.serial_number for revoked in crl),
            crl.last_update_utc,
            crl.next_update_utc,
        )

    def issued(self, certificate: x509.Certificate) -> bool:
        """Whether the authority has issued a certificate, by what that says of itself."""
        return printable(certificate.issuer.rfc4514_string()) == self.issuer

    def good(self, now: datetime) -> bool:
        """Whether it is what its authority says now."""
        return self.this_update - SKEW <= now <= self.next_update

    def due(self, now: datetime) -> bool:
        """Whether the next one should be here soon: a tenth of its time is left."""
        return self.next_update - now < (self.next_update - self.this_update) / 10


def _may_sign(authority: x509.Certificate) -> bool:
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _signed(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # others raise TypeError
    except TypeError:
        return False


def _unknown(extension: x509.Extension[x509.ExtensionType]) -> str | None:
    """What keeps a list from being read as all that its authority has revoked."""
    match extension.value:
        case x509.IssuingDistributionPoint(indirect_crl=False, only_contains_attribute_certs=False) as point:
            if point.only_some_reasons is None and not point.only_contains_ca_certs:
                return None
            return "tells of some certificates only"
        case x509.IssuingDistributionPoint():
            return "is an indirect CRL, or one of attribute certificates"
        case x509.DeltaCRLIndicator():
            return "is a delta CRL: the whole one is needed"
    return "has a critical extension that nobody knows here" if extension.critical else None


@attrs.frozen
class Standing:
    """How a CRL stands; ``state`` is good, due (good, but the next one should be here), stale, broken or missing.

    ``file`` is None for an authority without one; ``issuer`` where it is not known.
    """

    file: str | None
    issuer: str | None
    state: str
    reason: str = ""
    next_update: datetime | None = None
    revoked: int = 0


@attrs.frozen
class _File:
    """A file as it was looked at: ``stamp`` tells one from the next, ``crl`` is the last that could be used."""

    path: Path
    stamp: tuple[int, ...] | None = None
    crl: Crl | None = None
    fault: str = "was not read yet"

    def looked(self, authorities: Collection[x509.Certificate]) -> _File:
        """The same where it is unchanged."""
        try:
            found = self.path.stat()
        except OSError as error:
            return attrs.evolve(self, stamp=None, fault=f"{error.strerror}")
        stamp = found.st_mtime_ns, found.st_size, found.st_ino
        if stamp == self.stamp:
            return self
        try:
            return attrs.evolve(self, stamp=stamp, crl=Crl.load(self.path, authorities), fault="")
        except CertificateFileError as error:
            return attrs.evolve(self, stamp=stamp, fault=error.reason)

    def standing(self, now: datetime) -> Standing:
        """How it stands."""
        if self.crl is None:
            state = "missing" if self.stamp is None else "broken"
            return Standing(str(self.path), None, state, self.fault)
        known = self.crl.issuer, self.crl.next_update, len(self.crl.serials)
        state, reason = "good", ""
        if not self.crl.good(now):
            state, reason = "stale", f"is good until {self.crl.next_update:%Y-%m-%d %H:%M:%S} UTC only"
        elif self.fault:
            state, reason = "broken", f"{self.fault}; the one of before is used"
        elif self.crl.due(now):
            state, reason = "due", f"ends at {self.crl.next_update:%Y-%m-%d %H:%M:%S} UTC"
        return Standing(str(self.path), known[0], state, reason, *known[1:])


def _looked(files: Sequence[_File], authorities: Collection[x509.Certificate]) -> tuple[_File, ...]:
    return tuple(file.looked(authorities) for file in files)


class Revocation:
    """What is known of revoked certificates.

    ``withdrawn`` are those that operators have revoked, by their short fingerprints.
    """

    def __init__(self, now: Callable[[], datetime], withdrawn: Collection[bytes] = ()) -> None:
        self._now = now
        self._withdrawn = withdrawn
        self._hard = True
        self._authorities: frozenset[x509.Certificate] = frozenset()
        self._files: tuple[_File, ...] = ()
        self._by_issuer: dict[bytes, list[Crl]] = {}
        self._told: dict[tuple[str | None, str | None], str] = {}

    def configure(self, settings: config.Revocation, authorities: Collection[x509.Certificate]) -> None:
        """Use these files from now on, and read those that are new."""
        before = {file.path: file for file in self._files if frozenset(authorities) == self._authorities}
        self._hard = settings.crl_failure == "hard"
        self._authorities = frozenset(authorities)
        self._take(_looked([before.get(path) or _File(path) for path in settings.crl], authorities))

    async def look(self, in_thread: Callable[..., Deferred[tuple[_File, ...]]]) -> bool:
        """Look whether files have changed, and read those; whether that changes what is revoked."""
        before = self._files
        if not before:
            return False
        found = await in_thread(_looked, before, self._authorities)
        if self._files is not before:
            return False  # it was configured meanwhile
        self._take(found)
        return [file.crl for file in before] != [file.crl for file in found]

    def _take(self, files: tuple[_File, ...]) -> None:
        by_issuer = defaultdict[bytes, list[Crl]](list)
        for crl in filter(None, (file.crl for file in files)):
            for issuer in crl.issuers:
                by_issuer[issuer].append(crl)
        self._files, self._by_issuer = files, dict(by_issuer)
        self._tell()

    def _tell(self) -> None:
        """Log how the lists stand, where that has changed."""
        told = {}
        for each in self.standings():
            key = each.file, each.issuer
            told[key] = said = f"{each.state} {each.reason} {each.next_update}"
            if self._told.get(key) == said:
                continue
            where = each.file or f"the authority {each.issuer}"
            if each.state == "good":
                log.info(
                    "{where}: CRL of {issuer}, {revoked} revoked, good until {until}",
                    where=where, issuer=each.issuer, revoked=each.revoked, until=str(each.next_update),
                )  # fmt: skip
            else:
                log.warn("{where}: CRL is {state}: {reason}", where=where, state=each.state, reason=each.reason)
        self._told = told

    def standings(self) -> list[Standing]:
        """How each file stands, and which authorities have none; nothing where no file is configured."""
        now = self._now()
        without = [
            Standing(None, printable(authority.subject.rfc4514_string()), "missing", "has no CRL")
            for authority in self._authorities
            if self._files and identity(authority) not in self._by_issuer
        ]
        return [file.standing(now) for file in self._files] + sorted(without, key=lambda each: str(each.issuer))

    @property
    def knows(self) -> bool:
        """Whether anything is known that could speak against a chain."""
        return bool(self._withdrawn or self._files)

    def revoked(self, chain: Verified) -> str | None:
        """Whether something in a chain is revoked, and by whom; None: nothing is known to be."""
        if chain and self._withdrawn and fingerprint.short(chain[0].fingerprint(SHA256())) in self._withdrawn:
            return WITHDRAWN
        for certificate, lists in self._lists(chain):
            if any(certificate.serial_number in each.serials for each in lists):
                return REVOKED
        return None

    def listed(self, certificate: x509.Certificate) -> str | None:
        """Whether a list has a certificate that came alone, and is trusted for itself; by the name of its issuer."""
        lists = [file.crl for file in self._files if file.crl]
        if lists and any(certificate.serial_number in each.serials for each in lists if each.issued(certificate)):
            return REVOKED
        return None

    def refusal(self, chain: Verified) -> str | None:
        """Why a chain is not to be taken; None: nothing speaks against it."""
        if reason := self.revoked(chain):
            return reason
        now = self._now()
        for certificate, lists in self._lists(chain) if self._hard else ():
            # Who is among the authorities is trusted by the operator's own word.
            if certificate not in self._authorities and not any(each.good(now) for each in lists):
                return UNSURE
        return None

    def _lists(self, chain: Verified) -> Iterator[tuple[x509.Certificate, Sequence[Crl]]]:
        """The certificates of a chain, each with the lists of its authority."""
        if self._files:
            for certificate, issuer in pairwise(chain):
                yield certificate, self._by_issuer.get(identity(issuer), ())
