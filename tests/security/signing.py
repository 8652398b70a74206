"""Signed documents of other hands: xmlsec1 as the second opinion, and templates to be signed by it.

xmlsec1 is Debian's program of that name.  A template is a document whose ds:Signature still lacks digests
and value; xmlsec1 fills them in for nearly everything that XML Signature allows, so that a test can say:
this is signed well, and refused all the same.
"""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.party import OadrPoll
from oadrvtn.security import signature as module
from oadrvtn.security.certificates import Credential
from oadrvtn.security.signature import SignatureRefused, Signed
from oadrvtn.wire import encode
from oadrvtn.wire.parser import parse
from tests.security.link import authority

NOW = datetime.now(UTC).replace(microsecond=0)

DS = "http://www.w3.org/2000/09/xmldsig#"
INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = DS + "enveloped-signature"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
RSA = MORE + "rsa-sha256"
POLL = encode(OadrPoll(ven_id="ven1"))
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
OADR = "http://openadr.org/oadr-2.0b/2012/07"
DSP = OADR + "/xmldsig-properties"
EI = "http://docs.oasis-open.org/ns/energyinterop/201110"

MESSAGE = (
    '<oadr:oadrSignedObject oadr:Id="oadrSignedObject"><oadr:oadrPoll ei:schemaVersion="2.0b">'
    "<ei:venID>ven1</ei:venID></oadr:oadrPoll></oadr:oadrSignedObject>"
)
FORGED = MESSAGE.replace("ven1", "evil")


@cache
def ven(name: str = "ven1", *, rsa: bool = False) -> Credential:
    """A VEN's key and certificate, made once."""
    return authority().issue_client(name, rsa=rsa)


def self_signed(key: Any, now: datetime = NOW) -> Credential:
    """A VEN's certificate for a key of any kind, valid a day before and after."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ven1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    return Credential(builder.sign(key, hashes.SHA256()), key)


def der(credential: Credential) -> bytes:
    """What the VEN shows in the TLS handshake."""
    return credential.certificate.public_bytes(Encoding.DER)


# --- templates ----------------------------------------------------------------------------------------


def reference(uri: str, *transforms: str, digest: str = SHA256) -> str:
    """A ds:Reference; a transform that is no URI is taken as XML."""
    chain = "".join(one if one.startswith("<") else f'<ds:Transform Algorithm="{one}"/>' for one in transforms)
    return (
        f'<ds:Reference URI="{uri}">' + (f"<ds:Transforms>{chain}</ds:Transforms>" if chain else "")
        + f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference>'
    )  # fmt: skip


TO_MESSAGE = reference("#oadrSignedObject", INCLUSIVE)
TO_PROPERTIES = reference("#prop", INCLUSIVE)
TO_ALL = reference("", ENVELOPED)


def replay_protect(timestamp: str = NOW.isoformat().replace("+00:00", "Z"), nonce: str = "unheard") -> str:
    """A ReplayProtect with what is around it in a ds:Object."""
    return (
        f'<ds:SignatureProperties><ds:SignatureProperty Target="#signature"><dsp:ReplayProtect xmlns:dsp="{DSP}">'
        f"<dsp:timestamp>{timestamp}</dsp:timestamp><dsp:nonce>{nonce}</dsp:nonce>"
        "</dsp:ReplayProtect></ds:SignatureProperty></ds:SignatureProperties>"
    )


def signature(
    *references: str,
    method: str = MORE + "ecdsa-sha256",
    c14n: str = INCLUSIVE,
    objects: str = f'<ds:Object Id="prop">{replay_protect()}</ds:Object>',
) -> str:
    """A ds:Signature that still has to be filled in."""
    return (
        f'<ds:Signature xmlns:ds="{DS}" Id="signature"><ds:SignedInfo>'
        f'<ds:CanonicalizationMethod Algorithm="{c14n}"/><ds:SignatureMethod Algorithm="{method}"/>'
        f"{''.join(references or (TO_MESSAGE, TO_PROPERTIES))}</ds:SignedInfo>"
        f"<ds:SignatureValue/><ds:KeyInfo><ds:X509Data/></ds:KeyInfo>{objects}</ds:Signature>"
    )


def payload(*children: str) -> str:
    """An oadrPayload of these children; by default one that is to be signed."""
    return (
        f'<oadr:oadrPayload xmlns:oadr="{OADR}" xmlns:ei="{EI}">'
        f"{''.join(children or (signature(), MESSAGE))}</oadr:oadrPayload>"
    )


def child(root: Any, path: str) -> Any:
    """The one element at this path, with the prefixes ds, dsp, oadr."""
    (found,) = root.iterfind(path, {"ds": DS, "dsp": DSP, "oadr": OADR})
    return found


def certificates(*credentials: Credential) -> str:
    """A ds:X509Data of these certificates."""
    found = (base64.b64encode(der(one)).decode() for one in credentials)
    return (
        "<ds:X509Data>" + "".join(f"<ds:X509Certificate>{one}</ds:X509Certificate>" for one in found) + "</ds:X509Data>"
    )


def key_value(credential: Credential) -> str:
    """A ds:KeyValue, for the keys that a VEN has: RSA, or EC P-256."""
    key: Any = credential.certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        modulus, exponent = (
            base64.b64encode(n.to_bytes((n.bit_length() + 7) // 8, "big")).decode() for n in (numbers.n, numbers.e)
        )
        inner = (
            f"<ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus><ds:Exponent>{exponent}</ds:Exponent></ds:RSAKeyValue>"
        )
    else:
        point = base64.b64encode(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)).decode()
        inner = (
            '<dsig11:ECKeyValue xmlns:dsig11="http://www.w3.org/2009/xmldsig11#">'
            f'<dsig11:NamedCurve URI="urn:oid:1.2.840.10045.3.1.7"/><dsig11:PublicKey>{point}</dsig11:PublicKey>'
            "</dsig11:ECKeyValue>"
        )
    return f"<ds:KeyValue>{inner}</ds:KeyValue>"


# --- xmlsec1 ------------------------------------------------------------------------------------------


def _xmlsec1(command: str, document: bytes, arguments: Sequence[str], **files: bytes) -> tuple[int, bytes, str]:
    with TemporaryDirectory() as directory:
        paths = {name: Path(directory, name) for name in ("document", "output", *files)}
        for name, content in {"document": document, **files}.items():
            paths[name].write_bytes(content)
        options = [argument.format_map(paths) for argument in arguments]
        ids = ["--id-attr:Id", f"{OADR}:oadrSignedObject"]
        try:
            done = subprocess.run(
                ["xmlsec1", command, "--output", paths["output"], *options, *ids, paths["document"]],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            raise AssertionError("these tests need the program xmlsec1: apt-get install -y xmlsec1") from None
        return done.returncode, paths["output"].read_bytes() if paths["output"].exists() else b"", done.stderr


def xmlsec1_signs(template: str, credential: Credential, *arguments: str) -> bytes:
    """The template, filled in with this key (or the one that the arguments name)."""
    key = arguments or ("--privkey-pem", "{key},{certificate}")
    files = {"key": credential.key_pem, "certificate": credential.chain_pem}
    code, output, said = _xmlsec1("--sign", template.encode(), key, **files)
    assert code == 0, said
    return output


def with_key_info(document: bytes, *contents: str) -> bytes:
    """The signed document with another ds:KeyInfo, which no signature covers; without contents, with none."""
    info = f"<ds:KeyInfo>{''.join(contents)}</ds:KeyInfo>" if contents else ""
    changed, count = re.subn(rb"<ds:KeyInfo>.*</ds:KeyInfo>", info.encode(), document, flags=re.DOTALL)
    assert count == 1
    return changed


def xmlsec1_verifies(document: bytes) -> bool:
    """Whether a signature by a certificate of our authority is good, by the certificate in it."""
    arguments = ("--enabled-key-data", "x509", "--trusted-pem", "{authority}")
    code, _, said = _xmlsec1("--verify", document, arguments, authority=authority().credential.chain_pem)
    return code == 0 and said.startswith("OK")


# --- our own verdict ----------------------------------------------------------------------------------


def told(outcome: Signed | SignatureRefused) -> tuple[object, ...]:
    """What a document has said, or why it was refused."""
    if isinstance(outcome, SignatureRefused):
        return (outcome.reason,)
    message = etree.tostring(outcome.signed_object, method="c14n", with_tail=False)
    return message, outcome.timestamp, outcome.nonce, outcome.enveloped, outcome.late


def verify(*arguments: Any, enveloped: bool = False, document: bytes = b"") -> Signed:
    """``signature.verify``, as it is, without the document itself, and by signxml alone: all come to the same."""
    outcomes: list[Signed | SignatureRefused] = []
    for one_form, came in ((module._one_form, document), (module._one_form, b""), (lambda *_: None, b"")):
        with mock.patch.object(module, "_one_form", one_form):
            try:
                outcomes.append(module.verify(*arguments, enveloped=enveloped, document=came))
            except SignatureRefused as error:
                outcomes.append(error)
    assert told(outcomes[0]) == told(outcomes[1]) == told(outcomes[2]), outcomes
    if isinstance(outcomes[0], SignatureRefused):
        raise outcomes[0]
    return outcomes[0]


def without_signxml(*arguments: Any, document: bytes = b"") -> Signed | None:
    """What is verified of the one form; None where signxml would be asked."""
    with mock.patch.object(module, "_any_form", lambda *_: None):
        found: Signed | None = module.verify(*arguments, document=document)
    return found


class Verdicts(SynchronousTestCase):
    """Documents are accepted or refused, as those of a VEN whose TLS certificate is known."""

    ven: Credential

    def setUp(self) -> None:
        self.ven = ven()

    def verified(self, document: bytes, *, enveloped: bool = False) -> Signed:
        """What is taken from the document."""
        known = {self.ven.fingerprint}
        return verify(parse(document), known, der(self.ven), NOW, enveloped=enveloped, document=document)

    def accepted(self, document: bytes, ven_id: str = "ven1", *, enveloped: bool = False) -> Signed:
        """It is good, and says this venID."""
        signed = self.verified(document, enveloped=enveloped)
        self.assertEqual(f"{{{OADR}}}oadrSignedObject", signed.signed_object.tag)
        self.assertEqual(ven_id, signed.signed_object.findtext(f".//{{{EI}}}venID"))
        return signed

    def refused(self, document: bytes, reason: str, *, enveloped: bool = False) -> None:
        """It is refused for this reason, of which the peer hears nothing."""
        error = self.assertRaises(SignatureRefused, self.verified, document, enveloped=enveloped)
        self.assertIn(reason, error.reason)
        self.assertEqual(("454", "the signature is not accepted"), (error.response_code, error.description))
