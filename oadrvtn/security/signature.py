"""XML signatures of high security (rule 514): signing what leaves, and finding out what a peer did sign.

A signed document has a ds:Signature as the first child of oadrPayload.  It has two references: one to the
oadrSignedObject, one to an element of its own that holds ReplayProtect (a timestamp and a nonce).

``verify`` trusts nothing that stands in the message.  The key is that of a certificate whose SHA-256 the
caller knows; the shape of the ds:Signature is held against a table before anybody computes with it; and
what it returns is what was signed alone, so whatever else stands in the document does not exist for the
steps after it.

Nearly every VEN signs in one and the same form.  That is verified here, with lxml and cryptography; for whatever
deviates from it, and for what is not good, signxml has the word.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
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
_DECLARATION = re.compile(rb' xmlns:[\w.-]+="[^"]*"')
_DS = f' xmlns:ds="{_NAMESPACES["ds"]}"'.encode()

_REFERENCE = (
    '<ds:Reference URI="{uri}"><ds:Transforms>{transforms}</ds:Transforms>'
    f'<ds:DigestMethod Algorithm="{SHA_256}"></ds:DigestMethod><ds:DigestValue>%b</ds:DigestValue></ds:Reference>'
)
_ECDSA = ec.ECDSA(SHA256())
_PKCS1 = padding.PKCS1v15(), SHA256()
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
        return lambda data: key.sign(data, *_PKCS1), RSA_SHA256
    size = (key.curve.key_size + 7) // 8

    def sign(data: bytes) -> bytes:
        # XML wants the two numbers bare, each at its full length.
        return b"".join(n.to_bytes(size, "big") for n in decode_dss_signature(key.sign(data, _ECDSA)))

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
    """What a peer has signed: its oadrSignedObject, and the ReplayProtect with it.

    What is around the oadrSignedObject, if anything is, was not signed.

    ``certificate`` is whose key has signed.  ``enveloped``: by a reference to the whole document; a peer that signs so
    may not be able to verify the other form.  ``late``: with the ds:Signature behind it.
    """

    signed_object: etree._Element
    timestamp: datetime
    nonce: str
    certificate: x509.Certificate
    enveloped: bool
    late: bool = False


def is_signed(root: etree._Element) -> bool:
    """Whether a document claims to be signed."""
    return next(root.iterchildren(_SIGNATURE), None) is not None


def verify(
    root: etree._Element,
    trusted: Collection[bytes],
    certificate: bytes | None,
    now: datetime,
    *,
    enveloped: bool = False,
    document: bytes = b"",
) -> Signed:
    """What was signed in a parsed document, by the key of a trusted certificate.

    ``root`` comes from ``wire.parser`` (no doctype, no comments), of a body whose size is limited.
    ``trusted`` are full fingerprints (SHA-256): of the TLS certificate that the peer has shown, or those that
    it has for signing.  A certificate is looked for in the message; where there is none (KeyValue alone),
    ``certificate`` (DER) is that of the connection.  ``enveloped`` also takes a ds:Signature behind the
    oadrSignedObject and a reference to the whole document.  ``document`` is what ``root`` was parsed from, if that is
    at hand: it spares to write it once more.

    Raises SignatureRefused.  Time and nonce are still to be judged: see ``replay``.
    """
    return _one_form(root, trusted, now, document) or _any_form(root, trusted, certificate, now, enveloped)


def _any_form(
    root: etree._Element, trusted: Collection[bytes], certificate: bytes | None, now: datetime, enveloped: bool
) -> Signed:
    """What signxml finds, of a signature whose shape is looked at before."""
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
    return attrs.evolve(_read(message, properties, key), late=root[0] is signed_object)


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
        pinned = _read_certificate(known[0])
    except ValueError as error:
        raise SignatureRefused(f"unreadable certificate: {shown(error)}") from None
    if not pinned.since <= now <= pinned.until:
        raise SignatureRefused(f"the certificate is not valid at {now}")
    return pinned.certificate


_MOST_PINNED = 4096
"""So many certificates of VENs that sign are kept as they were read; each takes about 4 kB."""


@attrs.frozen(slots=False)
class _Pinned:
    """A trusted certificate, as it was read."""

    certificate: x509.Certificate
    since: datetime
    until: datetime

    @classmethod
    def of(cls, der: bytes) -> _Pinned:
        """That of this DER; raises ValueError."""
        found = x509.load_der_x509_certificate(der)
        return cls(found, found.not_valid_before_utc, found.not_valid_after_utc)

    @cached_property
    def checks(self) -> tuple[str, Callable[[bytes, bytes], object]]:
        """What a signature by its key is called, and what raises InvalidSignature for a bad one of some data."""
        key: Any = self.certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            return RSA_SHA256, lambda value, data: key.verify(value, data, *_PKCS1)
        size = (key.key_size + 7) // 8 if isinstance(key, ec.EllipticCurvePublicKey) else 0

        def check(value: bytes, data: bytes) -> None:
            if not size or len(value) != 2 * size:
                raise InvalidSignature
            numbers = (int.from_bytes(half, "big") for half in (value[:size], value[size:]))
            key.verify(encode_dss_signature(*numbers), data, _ECDSA)

        return ECDSA_SHA256, check


_read_certificate = lru_cache(_MOST_PINNED)(_Pinned.of)


# xs:dateTime, which unlike OpenADR's own times may have an offset.
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?")


def _instant(text: str) -> datetime:
    if not _DATE_TIME.fullmatch(text):
        raise ValueError(f"{shown(text)} is no time")
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _read(message: Any, properties: Any, certificate: x509.Certificate) -> Signed:
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
        return Signed(objects[0], _instant(timestamp), nonce, certificate, enveloped)
    except (ValueError, OverflowError) as error:
        raise SignatureRefused(f"timestamp: {error}") from None


# --- the one form -------------------------------------------------------------------------------------

# A ds:Signature as nearly all VENs make it; Ids, white space and what is in scope are their own.
_NAME = r"[A-Za-z_][\w.-]{0,100}"
_DSP = f' xmlns:dsp="{_NAMESPACES["dsp"]}"'.encode()
_TEXT = (
    b"<ds:Signature@scope@@id@><ds:SignedInfo@info@>"
    + _signed_info("@method@", ("#@message@", (INCLUSIVE,)), ("#@prop@", (INCLUSIVE,))) % (b"@digest@", b"@digest2@")
    + b"@end@<ds:SignatureValue>@value@</ds:SignatureValue><ds:KeyInfo><ds:X509Data>"
    b"<ds:X509Certificate>@certificate@</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    b"<ds:Object@object@><ds:SignatureProperties><ds:SignatureProperty@property@><dsp:ReplayProtect@dsp@>"
    b"<dsp:timestamp>@timestamp@</dsp:timestamp><dsp:nonce>@nonce@</dsp:nonce>"
    b"</dsp:ReplayProtect></ds:SignatureProperty></ds:SignatureProperties></ds:Object>@end@</ds:Signature>"
).decode()
_DECLARATIONS = f'(?: xmlns:{_NAME}="[^"<&]{{1,200}}"){{0,20}}'
_WHITE = r"[ \t\n]*"
_HOLES = {
    "><": f">{_WHITE}<",
    "@scope@": f"(?P<scope>{_DECLARATIONS})",
    "@id@": rf'(?: Id="(?P<id>{_NAME})")?',
    "@info@": "(?P<info>",
    "@method@": f"(?P<method>{re.escape(RSA_SHA256)}|{re.escape(ECDSA_SHA256)})",
    "@message@": f"(?P<message>{_NAME})",
    "@prop@": f"(?P<prop>{_NAME})",
    "@digest@": "(?P<digest>[A-Za-z0-9+/=]{44})",
    "@digest2@": "(?P<digest2>[A-Za-z0-9+/=]{44})",
    "@value@": r"(?P<value>[A-Za-z0-9+/= \n]{1,4000})",
    "@certificate@": r"(?P<certificate>[A-Za-z0-9+/= \n]{1,20000})",
    "@object@": '(?P<object> Id="(?P=prop)"',
    "@property@": rf'(?: Id="(?P<property>{_NAME})")? Target="[\w.#-]*"',
    "@dsp@": f"(?P<dsp>{re.escape(_DSP.decode())})?",
    "@timestamp@": "(?P<timestamp>[0-9T:.Z+-]{1,60})",
    "@nonce@": r"(?P<nonce>[\w.+/=-]{1,200})",
    "@end@": r")[ \t\n]*",
}
# An element without content, in canonical form and as many write it.
_HOLLOW = re.compile(re.escape(f">{_WHITE}</ds:") + "(CanonicalizationMethod|SignatureMethod|Transform|DigestMethod)>")
_WRITTEN_SHORT = re.compile(rb"<(ds:\w+)([^<>]*)/>")


def _pattern() -> str:
    pattern = re.escape(_TEXT)
    for mark, hole in _HOLES.items():
        pattern = pattern.replace(mark, hole)
    return pattern


_ONE_FORM = re.compile(_pattern().encode())
# The whole of a document up to the first element of its message; only that and the oadrSignedObject have attributes.
_ATTRIBUTE = r' [\w.:-]+="[\w.-]*"'
_AS_IT_COMES = re.compile(
    (
        rf"(?:<\?xml [^?<>]*\?>\s*)?<(?:{_NAME}:)?oadrPayload(?P<root>{_DECLARATIONS})>\s*"
        + _HOLLOW.sub(lambda hollow: f"(?:{hollow[0]}|/>)", _pattern())
        + rf"\s*(?P<openings>(?P<begin><{_NAME}:oadrSignedObject)(?P<own>{_DECLARATIONS})(?P<rest>{_ATTRIBUTE}>\s*"
        rf"<[\w.:-]+)(?P<before>{_DECLARATIONS})(?P<attribute>(?:{_ATTRIBUTE})?)(?P<behind>{_DECLARATIONS})>)"
    ).encode()
)
_CLOSINGS = re.compile(rb"</[\w.-]+:oadrSignedObject>(?=\s*</(?:[\w.-]+:)?oadrPayload>\s*\Z)")
_LONGEST_CLOSINGS = 300
_NOT_PLAIN = (b'"', b"'", b"!", b"?", b"\r")
"""What an attribute has, a comment, CDATA or an instruction, or would be read as another line end."""


@attrs.frozen
class _Form:
    """What is signed in the one form, in canonical form: ``scope`` are the declarations around its parts.

    ``openings`` are the start tags of the message that have attributes, and ``message`` the pieces of it.
    """

    found: re.Match[bytes]
    scope: bytes
    signed_info: bytes
    openings: bytes
    message: tuple[bytes | memoryview, ...]


@lru_cache(256)
def _declared(own: bytes, around: bytes) -> bytes:
    """What an element declares, in canonical form: in its order, and without what is declared around it."""
    return b"".join(_in_order(set(_DECLARATION.findall(own)) - set(_DECLARATION.findall(around))))


def _in_order(declarations: Iterable[bytes]) -> list[bytes]:
    """By the prefixes, as Canonical XML has them."""
    return sorted(declarations, key=lambda one: one.partition(b"=")[0])


@lru_cache(256)
def _in_scope(own: bytes, around: bytes) -> bytes:
    """The declarations that hold for an element; ValueError where one around it is overruled."""
    found = _DECLARATION.findall(scope := _declared(own + around, b""))
    if len({one.partition(b"=")[0] for one in found}) < len(found):
        raise ValueError("a prefix is declared twice")
    return scope


def _as_it_came(signature: etree._Element, signed_object: etree._Element, document: bytes) -> _Form | None:
    """By the document itself, if it may be canonical but for what its root declares.

    Whether it is, the digest tells.  What fits the digest is what the VEN has signed, and its tree what it says: both
    parts stand in the document where they do in the tree, and the scope is signed with each.  So a VEN may also sign
    what is not canonical, which nobody else would accept; nobody without its key can.
    """
    found = _AS_IT_COMES.match(document)
    closings = _CLOSINGS.search(document, max(0, len(document) - _LONGEST_CLOSINGS)) if found else None
    if not found or not closings or any(document.find(mark, found.end()) >= 0 for mark in _NOT_PLAIN):
        return None
    root, info = found["root"], found["info"]
    if b"/>" in info:
        info = _WRITTEN_SHORT.sub(rb"<\1\2></\1>", info)
    scope = _in_scope(found["own"], root)
    first = _declared(found["before"] + found["behind"], scope) + found["attribute"]
    message = found["begin"] + scope + found["rest"] + first, memoryview(document)[found.end() - 1 : closings.end()]
    return _Form(found, _in_scope(found["scope"], root), info, found["openings"], message)


def _made_canonical(signature: etree._Element, signed_object: etree._Element, document: bytes) -> _Form | None:
    """By the tree; not where so much is declared around the parts that to write them takes the square of that."""
    if len(signature.nsmap) > _MOST_DECLARED or len(signed_object.nsmap) > _MOST_DECLARED:
        return None
    found = _ONE_FORM.fullmatch(_canonical(signature))
    if not found:
        return None
    message = _canonical(signed_object)
    openings = message[: message.rfind(b'"') + 1]  # behind that are no attributes
    return _Form(found, found["scope"], found["info"], openings, (message,))


def _one_form(root: etree._Element, trusted: Collection[bytes], now: datetime, document: bytes) -> Signed | None:
    """What was signed, where the signature is good and of the one form; None for anything else.

    Of the ds:Signature nothing is left open: all of it matches one pattern.  signxml would accept it as well, if what
    was signed is canonical.  What is returned is the element of the document itself, for that is what has the digest.
    """
    try:
        signature, signed_object = _parts(root, False)
        # An xml:lang of the root would count as that of its children.
        if root.keys() or signed_object.keys() != [_OBJECT_ID] or (signed_object.tail or "").strip(WHITE):
            return None
        for look in (_as_it_came, _made_canonical):
            form = look(signature, signed_object, document)
            if form and (signed := _good(form, signed_object, trusted, now)):
                return signed
    except (SignatureRefused, ValueError, OverflowError, UnsupportedAlgorithm, InvalidSignature, etree.C14NError):
        pass
    return None


def _good(form: _Form, signed_object: etree._Element, trusted: Collection[bytes], now: datetime) -> Signed | None:
    """What was signed, if the signature is good; raises ValueError or InvalidSignature where it surely is not."""
    found, scope = form.found, form.scope
    if signed_object.get(_OBJECT_ID, "").encode() != found["message"] or not _is_clear(form):
        return None
    message = hashlib.sha256()
    for piece in form.message:
        message.update(piece)
    properties = hashlib.sha256(b"<ds:Object" + scope + found["object"])
    digests = tuple(base64.b64encode(one.digest()) for one in (message, properties))
    if digests != found.group("digest", "digest2"):
        return None
    der, value = map(_decoded, found.group("certificate", "value"))
    if fingerprint.sha256(der) not in trusted:
        return None
    pinned = _read_certificate(der)
    method, check = pinned.checks
    if method.encode() != found["method"] or not pinned.since <= now <= pinned.until:
        return None
    check(value, b"<ds:SignedInfo" + scope + form.signed_info)
    timestamp, nonce = found["timestamp"].decode(), found["nonce"].decode()
    return Signed(signed_object, _instant(timestamp), nonce, pinned.certificate, False)


_FIRST_TWO = re.compile(
    rb'<[\w:]+((?: xmlns:[A-Za-z]+="[^"&]*")+)(?: [\w:]+="[\w.-]*")?>(?:<[\w:]+(?: [\w:]+="[\w.-]*")?>)?'
)
"""The first two elements, each with one attribute at most, and declarations at the first."""


def _canonical(node: etree._Element) -> bytes:
    """An element in canonical form; raises ValueError where that may take the square of its size.

    What libxml2 writes is canonical but for the order of attributes and declarations, declarations that say nothing
    new, empty elements, and characters that only a number can stand for.  Where there is none of these but in the
    first two elements, it is made canonical there: that takes a quarter of the time.
    """
    plain = etree.tostring(node, encoding="utf-8", with_tail=False)
    # Single characters are found many times faster than pairs: a quote in a text is taken for one of an attribute.
    opening, quotes = _FIRST_TWO.match(plain), plain.count(b'"')
    if opening and opening[0].count(b'"') == quotes <= 2 * _MOST_DECLARED:
        if b"/>" not in plain and not (b"&" in plain and b"&#" in plain):
            declarations = _in_order(_DECLARATION.findall(opening[1]))
            return plain[: opening.start(1)] + b"".join(declarations) + plain[opening.end(1) :]
    elif plain.count(b"xmlns") > _MOST_DECLARED or plain.count(b'="') > _MOST_DECLARED:
        raise ValueError("many declarations or attributes")
    return etree.tostring(node, method="c14n", with_tail=False)


def _is_clear(form: _Form) -> bool:
    """Whether each Id is that of one element, and each prefix stands for what it should.

    An element of no prefix is in no namespace: where a default one comes from above, the canonical form is wrong, see
    ``_Verifier``.
    """
    found, openings = form.found, form.openings
    ids = [one for one in found.group("id", "message", "prop", "property") if one is not None]
    return (
        len(ids) == len(set(ids))
        and openings.count(b'="%b"' % found["message"]) == 1
        and b'="%b"' % found["prop"] not in openings
        and b' xmlns="' not in openings
        and _DS in form.scope
        and (found["dsp"] is not None or _DSP in form.scope)
    )


def _decoded(text: bytes) -> bytes:
    """Base64 in lines; raises ValueError for what nobody would have encoded so."""
    joined = b"".join(text.split())
    data = base64.b64decode(joined)
    if base64.b64encode(data) != joined:
        raise ValueError("no base64")
    return data
