"""Mutual TLS: the VTN's side of every connection, and the side of a client that shows a certificate."""

from __future__ import annotations

import ssl
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from .certificates import (
    CertificateFileError,
    Credential,
    Description,
    describe,
    for_clients,
    is_authority,
    load_certificates,
    printable,
)

log = Logger()

# TLS 1.2, best first (TLS 1.3 has suites of its own, all good).
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA256",  # one of the two that OpenADR 2.0b names
    "ECDHE-RSA-AES128-SHA256",
)
MODERN = tuple(name for name in CIPHERS if "SHA256" not in name or "GCM" in name)  # what authenticates as it encrypts
AES128_SHA256 = "AES128-SHA256"  # the other one: no forward secrecy, so it can be switched off

Refusal = Callable[[Sequence[x509.Certificate]], str | None]
"""Why a chain is not to be taken; None: nothing speaks against it."""


def _nothing(chain: Sequence[x509.Certificate]) -> str | None:
    return None


VERIFY_DEPTH = 9  # longest chain that a peer may make us verify
REASONS = 64  # kinds of refusal that are counted apart


@attrs.frozen
class ServerTls:
    """What a TLS server shows and whom it trusts.

    ``credentials``: one or two, with keys of different kinds (EC and RSA): OpenSSL picks by what the
    client can do.  ``authorities``: CA certificates.  Roots are the anchors of trust.  Intermediates
    complete the chain of a VEN that sends its leaf only; one whose root is not among them makes every
    listed certificate an anchor, because the operator evidently wants to trust just that one.
    """

    credentials: tuple[Credential, ...] = attrs.field(validator=attrs.validators.min_len(1))
    authorities: tuple[x509.Certificate, ...] = attrs.field(validator=attrs.validators.min_len(1))
    allow_aes128_sha256: bool = True

    @classmethod
    def load(
        cls,
        certificates: Iterable[tuple[str | Path, str | Path]],
        authorities: Iterable[str | Path],
        *,
        allow_aes128_sha256: bool = True,
    ) -> ServerTls:
        """Read pairs of (certificate file, key file) and the CA files.  Raises CertificateFileError."""
        return cls(
            tuple(Credential.load(*pair) for pair in certificates),
            tuple(certificate for path in authorities for certificate in load_authorities(path)),
            allow_aes128_sha256,
        )


def load_authorities(path: str | Path) -> list[x509.Certificate]:
    """The CA certificates of a file.  Raises CertificateFileError."""
    certificates = load_certificates(path)
    for certificate in certificates:
        if not is_authority(certificate):
            subject = printable(certificate.subject.rfc4514_string())
            raise CertificateFileError(path, f"{subject} is not the certificate of a CA")
    return certificates


@implementer(IOpenSSLServerConnectionCreator)
class TlsServer:
    """Makes the server's TLS connections: ``TLSMemoryBIOFactory(TlsServer(read), False, site)``.

    TLS 1.2 and 1.3; the client must show a certificate that one of the authorities vouches for;
    HTTP/1.1 is the only protocol offered.  Sessions are never resumed, so every connection shows its
    certificate again.

    ``read`` gets the settings, now and at each ``reload``; for files that is
    ``partial(ServerTls.load, pairs, ca_files)``.  What it raises flies out of the constructor.

    ``refusal`` tells why a chain that can be trusted is not to be taken all the same, if it is not: the certificate
    of the peer first.
    ``lets`` says whether the log takes a line about an address.
    ``refused`` counts refused handshakes by reason, for the metrics; ``credentials`` and ``authorities`` are those in
    use.
    """

    def __init__(self, read: Callable[[], ServerTls], refusal: Refusal = _nothing) -> None:
        self.refused: Counter[str] = Counter()
        self._refusal = refusal
        self.lets: Callable[[str], bool] = lambda _: True
        self._read = read
        self._take()

    def reload(self) -> None:
        """Use what ``read`` gives now for new connections; running ones stay as they are.

        If that cannot be used the old settings stay, and the CertificateFileError is logged and raised.
        """
        try:
            self._take()
        except CertificateFileError as error:
            log.error("TLS goes on with the old certificates: {error}", error=error)
            raise
        log.info("TLS certificates and CA files were read again")

    def _take(self) -> None:
        tls = self._read()
        self._context = _server_context(tls)
        self.credentials = tls.credentials
        self.authorities = tls.authorities

    def described(self) -> list[tuple[str, Description]]:
        """What the certificates in use say: those of the server ("vtn") and of the authorities ("ca")."""
        shown = [("vtn", credential.certificate) for credential in self.credentials]
        trusted = [("ca", authority) for authority in self.authorities]
        return [(kind, describe(certificate)) for kind, certificate in (*shown, *trusted)]

    def check(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        """The verified chain of a client's certificate that comes alone.

        Raises ValueError for one that would be refused in a handshake.
        """
        store = self._context.get_cert_store()
        assert store is not None
        try:
            found = crypto.X509StoreContext(store, crypto.X509.from_cryptography(certificate)).get_verified_chain()
        except crypto.X509StoreContextError as error:
            raise ValueError(str(error)) from None
        chain = [each.to_cryptography() for each in found]
        if reason := self._refusal(chain):
            raise ValueError(reason)
        if not for_clients(certificate):
            raise ValueError("it is not for clients")
        return chain

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return _ServerConnection(self._context, weakref.ref(tlsProtocol), self.refused, self._refusal, self.lets)


@implementer(IOpenSSLServerConnectionCreator)
class OperatorTls:
    """Makes the TLS connections of the operator's API, whose clients show a token, and no certificate.

    ``read`` gets what it shows, now and at each ``reload``; what it raises flies out.
    """

    def __init__(self, read: Callable[[], Credential]) -> None:
        self._read = read
        self._refused: Counter[str] = Counter()
        self.reload()

    def reload(self) -> None:
        """Use what ``read`` gives now for new connections.  Raises CertificateFileError, and nothing changes."""
        self._context = _context([self._read()], MODERN)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return _ServerConnection(self._context, weakref.ref(tlsProtocol), self._refused, _nothing)


class _ServerConnection(SSL.Connection):
    """A connection that tells why its handshake was refused, by either side."""

    def __init__(
        self,
        context: SSL.Context,
        protocol: weakref.ref[TLSMemoryBIOProtocol],
        refused: Counter[str],
        refusal: Refusal,
        lets: Callable[[str], bool] = lambda _: True,
    ) -> None:
        super().__init__(context, None)
        self._refusal = refusal
        self._chain: list[x509.Certificate] = []  # as it is verified, from the anchor down
        self._protocol = protocol
        self._refused = refused
        self._lets = lets
        self._told = False
        self.fault: tuple[str, int, str, str] | None = None  # reason, depth, subject, serial: what the verifier found

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except SSL.WantReadError:
            raise
        except SSL.Error as error:
            if not self._told:  # Twisted asks again when more bytes come before the socket is closed
                self._told = True
                self._tell(error)
            raise

    def _tell(self, error: SSL.Error) -> None:
        reason, depth, subject, serial = self.fault or (_reason(error), None, None, None)
        counted = reason if reason in self._refused or len(self._refused) < REASONS else "other"
        self._refused[counted] += 1
        protocol = self._protocol()
        peer = protocol.transport.getPeer() if protocol and protocol.transport else None
        peer = getattr(peer, "host", peer)
        if not self._lets(f"{peer}"):
            return
        log.warn(
            "TLS handshake refused: {reason} (peer {peer}, depth {depth}, subject {subject}, serial {serial})",
            reason=reason,
            peer=peer,
            depth=depth,
            subject=subject,
            serial=serial,
        )

    def check(self, certificate: x509.Certificate, depth: int) -> str | None:
        """Why the chain is not to be taken that ends with this certificate, once it is whole."""
        self._chain.append(certificate)
        if depth:
            return None
        chain, self._chain = self._chain[::-1], []
        return self._refusal(chain)


def _reason(error: SSL.Error) -> str:
    """OpenSSL's own words, such as "peer did not return a certificate" or "no shared cipher"."""
    match error.args:
        case [[*_, (_, _, str(reason))]]:
            return reason
    return str(error) or type(error).__name__


_VERIFICATION = {
    code: name.removeprefix("ERR_").replace("_", " ").lower()
    for name, code in vars(SSL.X509VerificationCodes).items()
    if name.startswith("ERR_")
}


def _read(der: bytes) -> x509.Certificate:
    """A certificate whose subject can be read: what cryptography cannot read nobody above could identify."""
    read = x509.load_der_x509_certificate(der)
    _ = read.subject
    return read


_authority = lru_cache(64)(_read)  # the same ones again and again; of a VEN's own each would take 10 kB


def _verified(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    """Go by OpenSSL's verdict; keep what a log needs if it is bad.  Nothing may be raised in here."""
    assert isinstance(connection, _ServerConnection)
    try:
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        read = _authority(der) if depth else _read(der)
        reason = connection.check(read, depth) if ok else _VERIFICATION.get(error, f"verification error {error}")
        if reason:
            shown = printable(read.subject.rfc4514_string())[:300]
            connection.fault = (reason, depth, shown, f"{read.serial_number:X}")
    except Exception:
        connection.fault = ("unreadable certificate", depth, "unreadable", "unreadable")
        return False
    return reason is None


def _http_1_1(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
    # On HTTP/2 a request's transport is None, and with it the certificate.
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _server_context(tls: ServerTls) -> SSL.Context:
    context = _context(tls.credentials, CIPHERS + (AES128_SHA256,) * tls.allow_aes128_sha256)
    _trust(context, tls.authorities)
    return context


def _context(credentials: Sequence[Credential], ciphers: Sequence[str]) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET | SSL.OP_CIPHER_SERVER_PREFERENCE
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # thousands of idle keep-alive connections
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_select_callback(_http_1_1)
    _show(context, credentials)
    context.set_cipher_list(":".join(ciphers).encode())
    return context


def _show(context: SSL.Context, credentials: Sequence[Credential]) -> None:
    kinds = set()
    for credential in credentials:
        kind = type(credential.key)
        if kind in kinds:
            raise CertificateFileError(
                credential.source, "a second certificate with the same kind of key: one EC and one RSA fit"
            )
        kinds.add(kind)
        try:
            # OpenSSL keeps a chain for each certificate only when it reads it from a file:
            # add_extra_chain_cert would send the intermediates of both with either.
            with tempfile.NamedTemporaryFile() as chain:
                chain.write(credential.chain_pem)
                chain.flush()
                context.use_certificate_chain_file(chain.name)
            context.use_privatekey(credential.key)
            context.check_privatekey()
        except SSL.Error as error:
            raise CertificateFileError(credential.source, f"TLS refuses it: {_reason(error)}") from error


def _trust(context: SSL.Context, authorities: Sequence[x509.Certificate]) -> None:
    store = context.get_cert_store()
    assert store is not None
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority))
        context.add_client_ca(authority)  # some clients choose their certificate by these names
    subjects = {authority.subject for authority in authorities}
    if any(authority.issuer not in subjects for authority in authorities):
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verified)
    context.set_verify_depth(VERIFY_DEPTH)


@implementer(IPolicyForHTTPS)
class _ClientPolicy:
    """Makes a client's TLS connections, each for the host that it goes to."""

    def __init__(
        self, credential: Credential | None, authorities: Sequence[x509.Certificate], options: dict[str, Any]
    ) -> None:
        self._trust_root = trustRootFromCertificates(
            [Certificate.loadPEM(authority.public_bytes(Encoding.PEM)) for authority in authorities]
        )
        self._options = options
        if credential:
            self._options |= {
                "certificate": credential.certificate,
                "privateKey": credential.key,
                "extraCertChain": credential.chain,
            }

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return optionsForClientTLS(
            hostname.decode("ascii"), self._trust_root, extraCertificateOptions=dict(self._options)
        )


def client_policy(
    credential: Credential | None, authorities: Sequence[x509.Certificate], **options: Any
) -> IPolicyForHTTPS:
    """For ``twisted.web.client.Agent`` and treq: show this certificate, and want a server that one of
    these roots vouches for and whose certificate names the host that was asked for.

    ``options`` are those of ``twisted.internet.ssl.CertificateOptions``, such as
    ``lowerMaximumSecurityTo`` and ``acceptableCiphers``.
    """
    return _ClientPolicy(credential, authorities, options)


@implementer(IPolicyForHTTPS, IOpenSSLClientConnectionCreator)
@attrs.frozen
class _OneOfMany:
    """One of many clients of a program: it shows its own certificate on a context that all share."""

    credential: Credential
    shared: Callable[[bytes], IOpenSSLClientConnectionCreator]
    creator: IOpenSSLClientConnectionCreator | None = None

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return attrs.evolve(self, creator=self.shared(hostname))

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        assert self.creator
        connection = self.creator.clientConnectionForTLS(tlsProtocol)
        connection.use_certificate(self.credential.certificate)
        connection.use_privatekey(self.credential.key)
        return connection


def client_policies(authorities: Sequence[x509.Certificate]) -> Callable[[Credential], IPolicyForHTTPS]:
    """``client_policy`` for thousands of clients, which share what is not their own; intermediates are not shown."""
    everybody = _ClientPolicy(None, authorities, {})
    shared = cache(lambda hostname: everybody.creatorForNetloc(hostname, 0))
    return lambda credential: _OneOfMany(credential, shared)


def operator_context(authorities: str | Path | None, certificate: str | Path | None = None) -> ssl.SSLContext:
    """For the client of the operator's API: trust the CAs of a file, else just one certificate, else the system's CAs.

    Raises CertificateFileError.
    """
    if authorities is None and certificate is not None:
        context = ssl.create_default_context(cadata=load_certificates(certificate)[0].public_bytes(Encoding.DER))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever issued it
        context.check_hostname = False  # it is known itself, by whatever name it is asked
        return context
    cadata = None
    if authorities is not None:
        cadata = b"".join(each.public_bytes(Encoding.DER) for each in load_certificates(authorities))
    return ssl.create_default_context(cadata=cadata)


def peer_certificate(transport: Any) -> bytes | None:
    """The DER of the certificate that the other side of a Twisted transport showed; None without TLS
    or without a certificate, and None for the missing transport of a request on HTTP/2."""
    get = getattr(transport, "getPeerCertificate", None)
    return _der(get() if get else None)


def verified_chain(transport: Any) -> list[x509.Certificate]:
    """What the other side of a Twisted transport showed, verified: its own certificate first, the anchor last."""
    get = getattr(transport, "getHandle", None)
    connection = get() if get else None
    chain = connection.get_verified_chain(as_cryptography=True) if isinstance(connection, SSL.Connection) else None
    return chain or []


def own_certificate(transport: Any) -> bytes | None:
    """The DER of the certificate that we have shown on a Twisted transport; None as above."""
    get = getattr(transport, "getHandle", None)
    connection = get() if get else None
    return _der(connection.get_certificate() if isinstance(connection, SSL.Connection) else None)


def _der(certificate: crypto.X509 | None) -> bytes | None:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) if certificate else None
