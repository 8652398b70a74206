"""What no VTN on this reactor can go under: TLS, the shortest HTTP, parse, hash, verify, encode, sign; nothing else.

A program; its argument is a file of JSON: port, certificate, key, ca, signs, answer (a file with a document).
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_der_x509_certificate
from lxml import etree
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from oadrvtn.security.certificates import Credential
from oadrvtn.security.signature import Signer
from oadrvtn.security.tls import ServerTls, TlsServer
from oadrvtn.wire import decode, encode
from oadrvtn.wire.parser import parse

_DS = "{http://www.w3.org/2000/09/xmldsig#}"


def _verify(root: Any, keys: dict[str, Any]) -> None:
    """The primitives of a verification: two canonical forms, a digest and a signature; keys are read once."""
    signature = root[0]
    hashlib.sha256(etree.tostring(root[1], method="c14n")).digest()
    hashlib.sha256(etree.tostring(signature.find(f"{_DS}Object"), method="c14n")).digest()
    text = signature.findtext(f".//{_DS}X509Certificate")
    if text not in keys:
        keys[text] = load_der_x509_certificate(base64.b64decode(text)).public_key()
    key, value = keys[text], base64.b64decode(signature.findtext(f"{_DS}SignatureValue"))
    signed_info = etree.tostring(signature.find(f"{_DS}SignedInfo"), method="c14n")
    if isinstance(key, ec.EllipticCurvePublicKey):
        # The message has the two numbers of the signature, the library wants DER: its length is what counts here.
        number = int.from_bytes(value[:32], "big"), int.from_bytes(value[32:], "big")
        key.verify(_der(*number), signed_info, ec.ECDSA(SHA256()))
    else:
        key.verify(value, signed_info, padding.PKCS1v15(), SHA256())


def _der(r: int, s: int) -> bytes:
    parts = b"".join(
        b"\x02%c%b" % (len(raw), raw) for raw in (one.to_bytes(one.bit_length() // 8 + 1, "big") for one in (r, s))
    )
    return b"\x30%c%b" % (len(parts), parts)


class _Floor(Protocol):
    """One request after the other, by their Content-Length."""

    signer: Signer | None
    reply: Any
    keys: dict[str, Any]

    def __init__(self) -> None:
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        """Answer as soon as a request is there."""
        self._data += data
        head, empty, body = self._data.partition(b"\r\n\r\n")
        if not empty or len(body) < int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return
        self._data = b""
        root = parse(body)
        if self.signer:
            _verify(root, self.keys)
        answer = encode(self.reply)
        if self.signer:
            answer = self.signer.sign(answer, datetime.now(UTC))
        assert self.transport
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))


def main() -> None:
    """Serve until killed."""
    options = json.loads(Path(sys.argv[1]).read_text())
    pair = options["certificate"], options["key"]
    _Floor.signer = Signer(Credential.load(*pair)) if options["signs"] else None
    _Floor.reply = decode(Path(options["answer"]).read_bytes(), allowed=()).message
    _Floor.keys = {}
    tls = TlsServer(lambda: ServerTls.load([pair], [options["ca"]]))
    serve: Any = reactor
    factory = TLSMemoryBIOFactory(tls, False, Factory.forProtocol(_Floor))
    factory.noisy = False
    serve.listenTCP(options["port"], factory, interface="127.0.0.1")
    serve.run()


if __name__ == "__main__":
    main()
