"""Certificates: issue them (a demonstration PKI, in memory or in a directory), load and describe them.

The PKI is for trying and testing.  In the field certificates come from the utility's or the OpenADR
Alliance's PKI, whose keys never visit this program.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.logger import Logger

from . import fingerprint

log = Logger()

BACKDATE = timedelta(hours=1)  # a VEN whose clock is a little slow accepts a new certificate
AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=825)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Extensions = tuple[tuple[x509.ExtensionType, bool], ...]  # each with: is it critical
T = TypeVar("T", bound=x509.ExtensionType)

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
_ANY_USE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


class CertificateFileError(Exception):
    """A certificate or key file that cannot be used or must not be overwritten: which one, and why."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason


@attrs.frozen
class Credential:
    """A certificate with its private key and the intermediates (issuer first) that a peer may need.

    ``source`` names it in messages: the certificate's file.
    """

    certificate: x509.Certificate
    key: PrivateKey = attrs.field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()
    source: str = "(in memory)"

    @classmethod
    def load(cls, certificate_file: str | Path, key_file: str | Path) -> Credential:
        """Read two PEM files: the certificate followed by its intermediates, and its unencrypted key.

        Raises CertificateFileError.  A key that everybody may read is used, with a warning in the log.
        """
        certificate, *chain = load_certificates(certificate_file)
        key = _load_key(key_file)
        if certificate.public_key() != key.public_key():
            raise CertificateFileError(key_file, f"this key does not belong to {certificate_file}")
        return cls(certificate, key, tuple(chain), str(certificate_file))

    @property
    def fingerprint(self) -> bytes:
        """The full fingerprint (32 bytes) of the certificate."""
        return fingerprint.sha256(self.certificate.public_bytes(Encoding.DER))

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its intermediates as PEM."""
        return b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *self.chain))

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PEM (PKCS #8)."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _now() -> datetime:
    return datetime.now(UTC)


@attrs.frozen
class Authority:
    """A certificate authority that issues for the demonstration and for tests.

    ``now`` is the clock by which it dates what it issues.
    """

    credential: Credential
    now: Callable[[], datetime] = _now

    @classmethod
    def create(
        cls,
        name: str = "oadrvtn demonstration CA",
        *,
        rsa: bool = False,
        now: Callable[[], datetime] = _now,
    ) -> Authority:
        """A new root.  With an RSA key everything verifies it, with an EC key it is made at once."""
        return cls(_issue(None, now(), name, rsa, _authority_extensions(None)), now)

    def issue_authority(self, name: str) -> Authority:
        """An intermediate authority under this one, which can issue leaves only."""
        return attrs.evolve(self, credential=_issue(self.credential, self.now(), name, False, _authority_extensions(0)))

    def issue_server(self, names: Sequence[str], *, rsa: bool = False) -> Credential:
        """A VTN's certificate for these DNS names and IP addresses (at least one).

        It may also be used as a client's, because a VTN that pushes is the client of its VENs and shows
        them the same certificate.
        """
        usages = [SERVER_AUTH, CLIENT_AUTH]
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        return self._issue_leaf(names[0][:64], rsa, usages, (alternatives, False))

    def issue_client(self, name: str, *, rsa: bool = False) -> Credential:
        """A VEN's certificate, with ``name`` (at most 64 characters) as its common name.

        For clients only: many VENs do not check their VTN's host name, so a VEN whose certificate is
        good for a server could pass itself off as the VTN to another VEN.
        """
        return self._issue_leaf(name, rsa, [CLIENT_AUTH])

    def revoke(
        self,
        before: x509.CertificateRevocationList | None,
        certificates: Iterable[x509.Certificate],
        life: timedelta,
    ) -> x509.CertificateRevocationList:
        """A CRL of what was revoked before, and of these certificates; good from now for a time."""
        now = self.now()
        revoked = {each.serial_number: each for each in before or ()}
        for certificate in certificates:
            entry = x509.RevokedCertificateBuilder(certificate.serial_number, now).build()
            revoked.setdefault(certificate.serial_number, entry)
        number = 1
        if before is not None:
            number += before.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        key = self.credential.key
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.credential.certificate.subject,
            last_update=now,
            next_update=now + life,
            extensions=[
                x509.Extension(x509.CRLNumber.oid, False, x509.CRLNumber(number)),
                x509.Extension(
                    x509.AuthorityKeyIdentifier.oid,
                    False,
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
                ),
            ],
            revoked_certificates=list(revoked.values()),
        )
        return builder.sign(key, SHA256())

    def _issue_leaf(
        self,
        name: str,
        rsa: bool,
        usages: list[x509.ObjectIdentifier],
        *more: tuple[x509.ExtensionType, bool],
    ) -> Credential:
        extensions = (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            # The suite AES128-SHA256 sends its secret encrypted to the RSA key.
            (_key_usage("digital_signature", *(("key_encipherment",) if rsa else ())), True),
            (x509.ExtendedKeyUsage(usages), False),
            *more,
        )
        return _issue(self.credential, self.now(), name, rsa, extensions)


def _authority_extensions(path_length: int | None) -> Extensions:
    return (
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (_key_usage("key_cert_sign", "crl_sign"), True),
    )


def _key_usage(*usages: str) -> x509.KeyUsage:
    # cryptography wants each of them said
    everything = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{usage: usage in usages for usage in everything})


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _issue(issuer: Credential | None, now: datetime, name: str, rsa_key: bool, extensions: Extensions) -> Credential:
    """A new key with its certificate, signed by ``issuer`` or, for a root, by itself.

    EC P-256 or RSA-2048, signed with SHA-256: the least that OpenADR 2.0b accepts.
    """
    key: PrivateKey = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "oadrvtn demonstration"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    issuer_name, issuer_key = (issuer.certificate.subject, issuer.key) if issuer else (subject, key)
    not_after = now + (LEAF_LIFE if issuer else AUTHORITY_LIFE)
    if issuer:
        not_after = min(not_after, issuer.certificate.not_valid_after_utc)
    identifiers: Extensions = (
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    )
    builder = x509.CertificateBuilder(
        issuer_name=issuer_name,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - BACKDATE,
        not_valid_after=not_after,
    )
    for extension, critical in extensions + identifiers:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(issuer_key, SHA256())
    # A root never travels: who does not have it does not trust it either.
    chain = (
        (issuer.certificate, *issuer.chain)
        if issuer and issuer.certificate.issuer != issuer.certificate.subject
        else ()
    )
    return Credential(certificate, key, chain)


# --- the PKI in a directory ---------------------------------------------------------------------------


def init(directory: str | Path, vtn_names: Sequence[str] = ("localhost", "127.0.0.1", "::1")) -> None:
    """Make a PKI: ``ca``, ``vtn-ec`` and ``vtn-rsa``, each with a ``.crt`` and a ``.key``.

    The CA has an RSA key, so that VENs which know nothing of elliptic curves verify what it signed.
    Raises CertificateFileError, before anything is written, if one of the files exists.
    """
    authority = Authority.create(rsa=True)
    _write(
        Path(directory),
        {
            "vtn-ec": authority.issue_server(vtn_names),
            "vtn-rsa": authority.issue_server(vtn_names, rsa=True),
            "ca": authority.credential,
        },
    )


def issue(directory: str | Path, name: str, rsa: bool = False) -> Credential:
    """Issue a VEN's certificate as ``NAME.crt`` and ``NAME.key``, signed by the directory's CA.

    Raises CertificateFileError if there is no CA or the files exist, ValueError for a name that is
    not made of 1 to 64 letters, digits, ``-``, ``_`` and (not first) ``.``: it becomes a file name.
    """
    [credential] = issue_each(directory, [name], rsa)
    return credential


def issue_each(directory: str | Path, names: Iterable[str], rsa: bool = False) -> Iterator[Credential]:
    """``issue`` for many, one after the other."""
    directory = Path(directory)
    authority: Authority | None = None
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(f"{name!r} cannot be a name: use 1 to 64 letters, digits, '-', '_' and '.'")
        authority = authority or Authority(Credential.load(directory / "ca.crt", directory / "ca.key"))
        credential = authority.issue_client(name, rsa=rsa)
        _write(directory, {name: credential})
        yield credential


def load_crl(directory: str | Path) -> x509.CertificateRevocationList | None:
    """The CRL of the directory's CA, ``ca.crl``; None where there is none yet.  Raises CertificateFileError."""
    path = Path(directory) / "ca.crl"
    if not path.exists():
        return None
    try:
        return x509.load_pem_x509_crl(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateFileError(path, "holds no readable PEM CRL") from error


def write_crl(directory: str | Path, revoke: Sequence[x509.Certificate], life: timedelta) -> Path:
    """Write the CRL of the directory's CA anew: what it holds, and these certificates; good from now for a time.

    Raises CertificateFileError, also for a certificate of another authority.
    """
    directory = Path(directory)
    authority = Authority(Credential.load(directory / "ca.crt", directory / "ca.key"))
    for certificate in revoke:
        try:
            certificate.verify_directly_issued_by(authority.credential.certificate)
        except (ValueError, TypeError, InvalidSignature) as error:
            subject = printable(certificate.subject.rfc4514_string())
            raise CertificateFileError(directory / "ca.crt", f"has not issued the certificate of {subject}") from error
    path, new = directory / "ca.crl", directory / "ca.crl.new"
    try:
        new.write_bytes(authority.revoke(load_crl(directory), revoke, life).public_bytes(Encoding.PEM))
        new.replace(path)  # at once: a VTN may be reading it
    except OSError as error:
        raise CertificateFileError(error.filename or path, error.strerror or str(error)) from error
    return path


def _write(directory: Path, credentials: dict[str, Credential]) -> None:
    files = [
        (directory / f"{name}{suffix}", content, mode)
        for name, credential in credentials.items()
        for suffix, content, mode in (
            (".key", credential.key_pem, 0o600),
            (".crt", credential.chain_pem, 0o644),
        )
    ]
    for path, _, _ in files:
        if os.path.lexists(path):
            raise CertificateFileError(path, "exists already and is not overwritten")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, content, mode in files:
            # O_EXCL with the mode: never readable by others, never somebody else's file or link
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as error:
        raise CertificateFileError(error.filename or directory, error.strerror or str(error)) from error


# --- loading and describing ---------------------------------------------------------------------------


def for_clients(certificate: x509.Certificate) -> bool:
    """Whether a certificate may be a client's, by what it says it is for."""
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except (ValueError, x509.DuplicateExtension):
        return False
    return CLIENT_AUTH in uses or _ANY_USE in uses


def load_certificates(path: str | Path) -> list[x509.Certificate]:
    """The certificates of a PEM file, at least one, in its order.  Raises CertificateFileError."""
    try:
        certificates = x509.load_pem_x509_certificates(_read(path))
        for certificate in certificates:
            describe(certificate)  # cryptography reads the inner parts late: let it stumble here
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise CertificateFileError(path, "holds no readable PEM certificate") from error
    return certificates


def pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()


def read_pem(text: str) -> Description:
    """What the first certificate of a PEM text says.  Raises ValueError."""
    try:
        return describe(x509.load_pem_x509_certificates(text.encode())[0])
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise ValueError("is no certificate in PEM") from None


def _load_key(path: str | Path) -> PrivateKey:
    content = _read(path)
    if Path(path).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        log.warn("the private key {path} is open to everybody on this machine: chmod 600 it", path=str(path))
    try:
        key = load_pem_private_key(content, None)
    except TypeError as error:
        raise CertificateFileError(path, "the key is encrypted; an unencrypted one is needed") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateFileError(path, "holds no readable PEM private key") from error
    if not isinstance(key, PrivateKey):
        raise CertificateFileError(path, "is neither an EC nor an RSA key")
    return key


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CertificateFileError(path, error.strerror or str(error)) from error


@attrs.frozen
class Description:
    """What people want to know of a certificate; every text is safe to print."""

    subject: str
    issuer: str
    serial: str  # in hex
    not_before: datetime
    not_after: datetime
    key: str  # "EC secp256r1", "RSA 2048"
    names: tuple[str, ...]  # DNS names, addresses and other subjectAltNames
    is_authority: bool
    fingerprint: str  # OpenADR's, 10 bytes
    sha256: str  # the whole


def describe(certificate: x509.Certificate) -> Description:
    """Describe a certificate.  Those from ``load_certificates`` can all be described."""
    full = fingerprint.sha256(certificate.public_bytes(Encoding.DER))
    names = _extension(certificate, x509.SubjectAlternativeName) or ()
    return Description(
        subject=printable(certificate.subject.rfc4514_string()),
        issuer=printable(certificate.issuer.rfc4514_string()),
        serial=f"{certificate.serial_number:X}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=_describe_key(certificate),
        names=tuple(printable(str(name.value)) for name in names),
        is_authority=is_authority(certificate),
        fingerprint=fingerprint.show(fingerprint.short(full)),
        sha256=fingerprint.show(full),
    )


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether the certificate may issue others."""
    constraints = _extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def printable(text: str) -> str:
    """Text of unknown origin with line ends, control and direction marks escaped, for logs and terminals."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _describe_key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
