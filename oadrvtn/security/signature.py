"""XML signatures of high security (rule 514): signing what leaves, and finding out what a peer did sign.

A signed document has a ds:Signature as the first child of oadrPayload.  It has two references: one to the
oadrSignedObject, one to an element of its own that holds ReplayProtect (a timestamp and a nonce).

``verify`` trusts nothing that stands in the message.  The key is that of a certificate whose SHA-256 the
caller knows; the shape of the ds:Signature is held against a table before anybody computes with it; and
what it returns was read back from the bytes that were signed, so whatever else stands in the document
does not exist for the steps after it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml import SignatureConfiguration, XMLVerifier
from signxml.algorithms import DigestAlgorithm, SignatureMethod

from ..model.errors import InvalidData
from ..model.schema import NAMESPACES
from ..model.values import WHITE, shown, write_instant
from . import fingerprint
from .certificates import Credential

INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
ECDSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
SHA_256 = "http://www.w3.org/2001/04/xmlenc#sha256"

_NAMESPACES = {
    **NAMESPACES,
    "dsig11": "http://www.w3.org/2009/xmldsig11#",
    "dsp": "http://openadr.org/oadr-2.0b/2012/07/xmldsig-properties",
}


class SignatureRefused(InvalidData):
    """A signature that is missing where one is due, bad, or used before (code 454).

    The text for the peer is always the same; ``reason`` is for the log alone.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("the signature is not accepted")
        self.reason = reason


# --- signing ------------------------------------------------------------------------------------------

_ID = b"oadrSignedObject"
_OPENING = re.compile(rb'<oadr:oadrPayload((?: xmlns:\w+="[^"]*")+)><oadr:oadrSignedObject>')
_DECLARATION = re.compile(rb' xmlns:\w+="[^"]*"')
_DS = f' xmlns:ds="{_NAMESPACES["ds"]}"'.encode()

_REFERENCE = (
    '<ds:Reference URI="{uri}"><ds:Transforms>{transforms}</ds:Transforms>'
    f'<ds:DigestMethod Algorithm="{SHA_256}"></ds:DigestMethod><ds:DigestValue>%b</ds:DigestValue></ds:Reference>'
)
_PROPERTIES = (
    ' Id="prop"><ds:SignatureProperties><ds:SignatureProperty Target="#signature">'
    f'<dsp:ReplayProtect xmlns:dsp="{_NAMESPACES["dsp"]}">'
    "<dsp:timestamp>%b</dsp:timestamp><dsp:nonce>%b</dsp:nonce>"
    "</dsp:ReplayProtect></ds:SignatureProperty></ds:SignatureProperties></ds:Object>"
).encode()


def _signed_info(method: str, *references: tuple[str, tuple[str, ...]]) -> bytes:
    """The content of a ds:SignedInfo for these references (URI, transforms), with a ``%b`` for each digest."""
    return (
        f'<ds:CanonicalizationMethod Algorithm="{INCLUSIVE}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{method}"></ds:SignatureMethod>'
        + "".join(
            _REFERENCE.format(
                uri=uri, transforms="".join(f'<ds:Transform Algorithm="{one}"></ds:Transform>' for one in transforms)
            )
            for uri, transforms in references
        )
        + "</ds:SignedInfo>"
    ).encode()


class Signer:
    """Signs documents with one key; ``fingerprint`` is the full one of its certificate."""

    def __init__(self, credential: Credential) -> None:
        self.fingerprint = credential.fingerprint
        self._signature_of, method = _signing(credential.key)
        properties = ("#prop", (INCLUSIVE,))
        self._detached = _signed_info(method, (f"#{_ID.decode()}", (INCLUSIVE,)), properties)
        self._enveloped = _signed_info(method, ("", (ENVELOPED, INCLUSIVE)), properties)
        der = credential.certificate.public_bytes(Encoding.DER)
        self._key_info = (
            b"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>%b</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
            % base64.b64encode(der)
        )

    def sign(self, document: bytes, now: datetime, *, enveloped: bool = False) -> bytes:
        """The document of ``wire.encode``, signed, with a new nonce.

        Nothing is parsed: that document is canonical, so what is signed are pieces of it, each as Canonical
        XML writes it when it stands alone (with the declarations that are in scope).  ``enveloped`` is the form
        for peers that sign so themselves: the first reference is to the whole document.
        Raises ValueError for what ``wire.encode`` does not make.
        """
        opening = _OPENING.match(document)
        if not opening:
            raise ValueError("only a document as wire.encode makes it can be signed")
        declared = opening[1]
        scope = b"".join(sorted([_DS, *_DECLARATION.findall(declared)]))
        rest = memoryview(document)[opening.end() :]
        if enveloped:
            signed_info, attribute = self._enveloped, b""
            whole = hashlib.sha256(document)
        else:
            signed_info, attribute = self._detached, b' oadr:Id="%b"' % _ID
            whole = hashlib.sha256(b"<oadr:oadrSignedObject" + declared + attribute + b">")
            whole.update(rest[: -len("</oadr:oadrPayload>")])
        instant = write_instant(now.replace(microsecond=0)).encode()
        properties = _PROPERTIES % (instant, secrets.token_hex(16).encode())
        signed_info %= (
            base64.b64encode(whole.digest()),
            base64.b64encode(hashlib.sha256(b"<ds:Object" + scope + properties).digest()),
        )
        value = base64.b64encode(self._signature_of(b"<ds:SignedInfo" + scope + b">" + signed_info))
        return b"".join(
            (
                b"<oadr:oadrPayload" + declared + b"><ds:Signature" + _DS + b' Id="signature"><ds:SignedInfo>',
                signed_info,
                b"<ds:SignatureValue>" + value + b"</ds:SignatureValue>",
                self._key_info,
                b"<ds:Object" + properties,
                b"</ds:Signature><oadr:oadrSignedObject" + attribute + b">",
                rest,
            )
        )


def _signing(key: Any) -> tuple[Callable[[bytes], bytes], str]:
    """How a private key signs, and what that is called."""
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return lambda data: key.sign(data, padding.PKCS1v15(), SHA256()), RSA_SHA256
    size = (key.curve.key_size + 7) // 8

    def sign(data: bytes) -> bytes:
        # XML wants the two numbers bare, each at its full length.
        return b"".join(n.to_bytes(size, "big") for n in decode_dss_signature(key.sign(data, ec.ECDSA(SHA256()))))

    return sign, ECDSA_SHA256


# --- the shape of a signature that is looked at -------------------------------------------------------


@attrs.frozen
class _Shape:
    """What an element of a ds:Signature may be: its children, its attributes, its algorithms, its longest text."""

    children: re.Pattern[str]
    attributes: frozenset[str]
    algorithms: tuple[str, ...]
    longest: int


def _shape(children: str = "", attributes: str = "", algorithms: tuple[str, ...] = (), longest: int = 0) -> _Shape:
    """``children`` is a pattern of their names in order, each followed by a space."""
    names = [*attributes.split(), *(["Algorithm"] if algorithms else [])]
    return _Shape(re.compile(children), frozenset(names), algorithms, longest)


# Nothing here can fetch, compute without bound, or say something twice: no other transforms, no Manifest, no
# RetrievalMethod, no parameters of algorithms, no HMAC, no SHA-1.  (Older openleadr signs in exclusive form.)
_SHAPES = {
    "ds:Signature": _shape("ds:SignedInfo ds:SignatureValue (ds:KeyInfo )?ds:Object ", "Id"),
    "ds:SignedInfo": _shape("ds:CanonicalizationMethod ds:SignatureMethod (ds:Reference ){2}", "Id"),
    "ds:CanonicalizationMethod": _shape(algorithms=(INCLUSIVE, EXCLUSIVE)),
    "ds:SignatureMethod": _shape(algorithms=(RSA_SHA256, ECDSA_SHA256)),
    "ds:Reference": _shape("(ds:Transforms )?ds:DigestMethod ds:DigestValue ", "Id Type URI"),
    "ds:Transforms": _shape("(ds:Transform ){1,2}"),
    "ds:Transform": _shape(algorithms=(INCLUSIVE, EXCLUSIVE, ENVELOPED)),
    "ds:DigestMethod": _shape(algorithms=(SHA_256,)),
    "ds:DigestValue": _shape(longest=200),
    "ds:SignatureValue": _shape(attributes="Id", longest=4_000),
    "ds:KeyInfo": _shape("ds:X509Data (ds:KeyValue )?|ds:KeyValue (ds:X509Data )?", "Id"),
    "ds:KeyValue": _shape("ds:RSAKeyValue |dsig11:ECKeyValue "),
    "ds:RSAKeyValue": _shape("ds:Modulus ds:Exponent "),
    "ds:Modulus": _shape(longest=4_000),
    "ds:Exponent": _shape(longest=200),
    "dsig11:ECKeyValue": _shape("dsig11:NamedCurve dsig11:PublicKey ", "Id"),
    "dsig11:NamedCurve": _shape(attributes="URI"),
    "dsig11:PublicKey": _shape(longest=1_000),
    "ds:X509Data": _shape("(ds:X509(Certificate|SubjectName|IssuerSerial|SKI) )+"),
    "ds:X509Certificate": _shape(longest=20_000),
    "ds:X509SubjectName": _shape(longest=2_000),
    "ds:X509IssuerSerial": _shape("ds:X509IssuerName ds:X509SerialNumber "),
    "ds:X509IssuerName": _shape(longest=2_000),
    "ds:X509SerialNumber": _shape(longest=200),
    "ds:X509SKI": _shape(longest=200),
    "ds:Object": _shape("ds:SignatureProperties ", "Id"),
    "ds:SignatureProperties": _shape("ds:SignatureProperty ", "Id"),
    "ds:SignatureProperty": _shape("dsp:ReplayProtect ", "Id Target"),
    "dsp:ReplayProtect": _shape("dsp:timestamp dsp:nonce "),
    "dsp:timestamp": _shape(longest=60),
    "dsp:nonce": _shape(attributes="EncodingType", longest=200),
}
_MOST_CHILDREN = 10
_PREFIXES = {namespace: prefix for prefix, namespace in _NAMESPACES.items()}


def _name(node: etree._Element) -> str:
    """The name of an element with the prefix of the table; "?" for what is in no namespace of ours."""
    namespace, _, local = str(node.tag).rpartition("}")
    prefix = _PREFIXES.get(namespace[1:])
    return f"{prefix}:{local}" if prefix else "?"


def _examine(node: etree._Element) -> None:
    """Refuse an element that has another shape than the table says, in it or below."""
    name = _name(node)
    shape = _SHAPES[name]
    children = "".join(f"{_name(child)} " for child in node) if len(node) <= _MOST_CHILDREN else "too many"
    if not shape.children.fullmatch(children):
        raise SignatureRefused(f"{name} holds {shown(children.strip())}")
    attributes: Any = node.keys()
    if unknown := set(attributes) - shape.attributes:
        raise SignatureRefused(f"{name} has the attribute {shown(unknown.pop())}")
    if shape.algorithms and node.get("Algorithm") not in shape.algorithms:
        raise SignatureRefused(f"{name} is {shown(node.get('Algorithm'))}")
    text = node.text or ""
    if len(text) > shape.longest and text.strip(WHITE):
        raise SignatureRefused(f"{name} holds {len(text)} characters")
    for child in node:
        _examine(child)


# --- verifying ----------------------------------------------------------------------------------------


def _clark(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


_PAYLOAD = _clark("oadr:oadrPayload")
_OBJECT = _clark("oadr:oadrSignedObject")
_OBJECT_ID = _clark("oadr:Id")
_SIGNATURE = _clark("ds:Signature")
_REPLAY_PROTECT = _clark("dsp:ReplayProtect")

# signxml takes any of these attributes for an Id, whatever its namespace.
_OWNERS = etree.XPath(
    "//*[@*[local-name() = 'Id' or local-name() = 'ID' or local-name() = 'id'] = $id]", smart_strings=False
)
_IS_BRISTLY = etree.XPath("boolean(//*[count(@*) > 100])")
_MOST_DECLARED = 50
_FRAGMENT = re.compile(r"#[\w.-]+")
_OF_A_PART: tuple[list[str], ...] = ([], [INCLUSIVE], [EXCLUSIVE])
_OF_ALL = tuple([ENVELOPED, *transforms] for transforms in _OF_A_PART)
_CONFIGURATION = SignatureConfiguration(
    location="./",
    expect_references=2,
    signature_methods=frozenset({SignatureMethod(RSA_SHA256), SignatureMethod(ECDSA_SHA256)}),
    digest_algorithms=frozenset({DigestAlgorithm(SHA_256)}),
)
_CLOCK = {"verification_time"} & {field.name for field in fields(SignatureConfiguration)}  # signxml 5 has one


class _Verifier(XMLVerifier):
    """signxml, which would refuse a ds:Signature without a prefix.

    Where a default namespace comes from above, lxml's inclusive form takes it away from grandchildren; of an
    element that is the root of its document, the form is right.
    """

    def _c14n(self, nodes: Any, *args: Any, **options: Any) -> Any:
        if nodes.getparent() is not None:
            nodes = self._fromstring(self._tostring(nodes, with_tail=False))
        return super()._c14n(nodes, *args, **options)


@attrs.frozen
class Signed:
    """What a peer has signed: its oadrSignedObject, in a tree of its own, and the ReplayProtect with it.

    ``enveloped``: by a reference to the whole document; a peer that signs so may not be able to verify the other
    form.  ``late``: with the ds:Signature behind it.
    """

    signed_object: etree._Element
    timestamp: datetime
    nonce: str
    enveloped: bool
    late: bool = False


def is_signed(root: etree._Element) -> bool:
    """Whether a document claims to be signed."""
    return root.find(_SIGNATURE) is not None


def verify(
    root: etree._Element,
    trusted: Collection[bytes],
    certificate: bytes | None,
    now: datetime,
    *,
    enveloped: bool = False,
) -> Signed:
    """What was signed in a parsed document, by the key of a trusted certificate.

    ``root`` comes from ``wire.parser`` (no doctype, no comments), of a body whose size is limited.
    ``trusted`` are full fingerprints (SHA-256): of the TLS certificate that the peer has shown, or those that
    it has for signing.  A certificate is looked for in the message; where there is none (KeyValue alone),
    ``certificate`` (DER) is that of the connection.  ``enveloped`` also takes a ds:Signature behind the
    oadrSignedObject and a reference to the whole document.

    Raises SignatureRefused.  Time and nonce are still to be judged: see ``replay``.
    """
    signature, signed_object = _parts(root, enveloped)
    _examine(signature)
    _bound(root)
    place = _referenced(root, signature, signed_object, enveloped)
    key = _pinned(signature, trusted, certificate, now)
    times: dict[str, Any] = dict.fromkeys(_CLOCK, now)
    try:
        results: Any = _Verifier().verify(root, x509_cert=key, expect_config=replace(_CONFIGURATION, **times))
    except Exception as error:  # its own family, lxml's, cryptography's, KeyError, ValueError...
        raise SignatureRefused(f"{type(error).__name__}: {shown(error, 200)}") from None
    message, properties = results[place].signed_xml, results[1 - place].signed_xml
    if message is None or properties is None:
        raise SignatureRefused("what was signed is no XML")
    return attrs.evolve(_read(message, properties), late=root[0] is signed_object)


def _parts(root: etree._Element, enveloped: bool) -> tuple[etree._Element, etree._Element]:
    """The ds:Signature and the oadrSignedObject of a document that has nothing else."""
    tags = [child.tag for child in root]
    if root.tag == _PAYLOAD and tags == [_SIGNATURE, _OBJECT]:
        return root[0], root[1]
    if root.tag == _PAYLOAD and tags == [_OBJECT, _SIGNATURE] and enveloped:
        return root[1], root[0]
    raise SignatureRefused("the document is not oadrPayload with a ds:Signature and then one oadrSignedObject")


def _bound(root: etree._Element) -> None:
    """Refuse what takes the square of its size to be made canonical."""
    if _IS_BRISTLY(root):
        raise SignatureRefused("an element has more than 100 attributes")
    declared = 0
    for event, _ in etree.iterwalk(root, events=("start-ns", "end-ns")):
        declared += 1 if event == "start-ns" else -1
        if declared > _MOST_DECLARED:
            raise SignatureRefused(f"more than {_MOST_DECLARED} namespaces are declared around one element")


def _referenced(root: etree._Element, signature: etree._Element, signed_object: etree._Element, enveloped: bool) -> int:
    """Which of the two references is to the message (0 or 1); the other one is to the holder of ReplayProtect."""
    messages: dict[str | None, etree._Element] = {f"#{signed_object.get(_OBJECT_ID, '')}": signed_object}
    if enveloped:
        messages[""] = root
    holders: dict[str | None, etree._Element] = {f"#{node.get('Id', '')}": node for node in signature[-1].iter()}
    references = list(signature[0])[2:]
    uris = [reference.get("URI") for reference in references]
    place = next((n for n in (0, 1) if uris[n] in messages and uris[1 - n] in holders), None)
    if place is None:
        raise SignatureRefused(f"the references {shown(uris, 200)} are not to the message and to ReplayProtect")
    for uri, reference in zip(uris, references, strict=True):
        node = (messages | holders)[uri]
        if uri and not (_FRAGMENT.fullmatch(uri) and _OWNERS(root, id=uri[1:]) == [node]):
            raise SignatureRefused(f"{shown(uri)} is not the Id of one element alone")
        transforms = [one.get("Algorithm") for one in reference.iter(_clark("ds:Transform"))]
        if transforms not in (_OF_A_PART if uri else _OF_ALL):
            raise SignatureRefused(f"the reference {shown(uri)} has the transforms {shown(transforms, 200)}")
    return place


def _pinned(
    signature: etree._Element, trusted: Collection[bytes], certificate: bytes | None, now: datetime
) -> x509.Certificate:
    """The one trusted certificate; it must be valid now."""
    try:
        # Line ends and indentation are everybody's; what else is no base64 is an error.
        found = [
            base64.b64decode("".join((node.text or "").split()), validate=True)
            for node in signature.iter(_clark("ds:X509Certificate"))
        ]
    except ValueError as error:
        raise SignatureRefused(f"X509Certificate: {error}") from None
    candidates = {fingerprint.sha256(der): der for der in found or filter(None, [certificate])}
    known = [der for full, der in candidates.items() if full in trusted]
    if len(known) != 1:
        names = ", ".join(map(fingerprint.show, candidates))
        raise SignatureRefused(f"of the certificates ({names}) {len(known)} may sign for this VEN")
    try:
        pinned = x509.load_der_x509_certificate(known[0])
        valid = pinned.not_valid_before_utc <= now <= pinned.not_valid_after_utc
    except ValueError as error:
        raise SignatureRefused(f"unreadable certificate: {shown(error)}") from None
    if not valid:
        raise SignatureRefused(f"the certificate is not valid at {now}")
    return pinned


# xs:dateTime, which unlike OpenADR's own times may have an offset.
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?")


def _instant(text: str) -> datetime:
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"{shown(text)} is no time")
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _read(message: Any, properties: Any) -> Signed:
    """Take from the signed bytes, parsed again, what they are there for."""
    enveloped = message.tag == _PAYLOAD
    objects = [node for node in (message if enveloped else [message]) if node.tag == _OBJECT]
    protections = list(properties.iter(_REPLAY_PROTECT))
    if len(objects) != 1 or len(protections) != 1:
        raise SignatureRefused("what was signed is not one oadrSignedObject and one ReplayProtect")
    timestamp, nonce = ((node.text or "").strip(WHITE) for node in protections[0])
    if not nonce:
        raise SignatureRefused("the nonce is empty")
    try:
        return Signed(objects[0], _instant(timestamp), nonce, enveloped)
    except (ValueError, OverflowError) as error:
        raise SignatureRefused(f"timestamp: {error}") from None
