"""A VEN's certificate as a proxy passes it on: in a header, whose form is one of those that proxies have."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm


class Unreadable(ValueError):
    """A header from which no certificate can be read; the text may be shown to anybody."""


_ESCAPED = re.compile(rb"[!-~]+")
_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*")
_PAIR = rb'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^,;"]*)'
_ELEMENT = re.compile(rb"%b(?:;%b)*" % (_PAIR, _PAIR))


def _escaped(value: bytes) -> bytes:
    """nginx's $ssl_client_escaped_cert: PEM with percent signs."""
    if not _ESCAPED.fullmatch(value):
        raise Unreadable("the header has no certificate")
    return unquote_to_bytes(value)


def _xfcc(value: bytes) -> bytes:
    """Envoy's X-Forwarded-Client-Cert: ``By=...;Hash=...;Cert="..."``, of one client."""
    if not _ELEMENT.fullmatch(value):
        raise Unreadable("the header does not name exactly one client: is the proxy set to SANITIZE_SET?")
    found = [content for name, content in re.findall(_PAIR, value) if name.lower() == b"cert"]
    if len(found) != 1:
        raise Unreadable("the header has no certificate (Cert), or several")
    return _escaped(found[0].strip(b'"'))


HEADERS = ("X-SSL-Client-Cert", "X-Forwarded-Client-Cert")
"""Under which names they are usual; nobody but a trusted proxy may send one."""
FORMS: dict[str, Callable[[bytes], bytes]] = {"nginx": _escaped, "envoy": _xfcc}
"""The forms of the header; each function returns the PEM in it, or raises Unreadable."""


def read(form: str, values: Sequence[bytes]) -> x509.Certificate:
    """The one certificate in all the headers of this name.  Raises Unreadable; who vouches for it is not looked at."""
    if len(values) != 1:
        raise Unreadable(f"the header is there {len(values)} times")
    pem = FORMS[form](values[0].strip())
    try:
        if _PEM.fullmatch(pem):
            return x509.load_pem_x509_certificate(pem)
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise Unreadable("the header does not hold exactly one certificate")
