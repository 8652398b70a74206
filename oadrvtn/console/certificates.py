"""Certificates behind the desk: until when they are good, and which of them are revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import attrs
from twisted.web.iweb import IRequest

from ..security import fingerprint
from ..security.certificates import Description
from ..storage import certificates as stored
from ..storage.certificates import Certificate, Revoked
from ..storage.database import Txn
from ..storage.tables import microseconds
from ..vtn import certificates
from .desk import Desk, Page, Rehearsal, cut, listed, route
from .shapes import A_HUNDRED, ByTime, Fingerprint, Name, PageSize, Seconds, many, page_of, shape, show

# --- what is asked ------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class CertificatesQuery:
    """Certificates by their ends: those that end ``expiring_within`` a time from now, those of a VEN..."""

    expiring_within: Seconds | None = None
    ven_id: str | None = None
    limit: PageSize = A_HUNDRED
    cursor: ByTime | None = None


@attrs.frozen(kw_only=True)
class RevokedQuery:
    """The certificates that operators have revoked, the last first."""

    limit: PageSize = A_HUNDRED
    cursor: ByTime | None = None


@attrs.frozen(kw_only=True)
class Which:
    """The certificate of a fingerprint, or all that a VEN is known by."""

    fingerprint: Fingerprint | None = None
    ven_id: Name | None = None


# --- what is shown ------------------------------------------------------------------------------------


KNOWN_BY = shape("KnownFingerprint", fingerprint=str, sha256=str | None)
CERTIFICATE = shape("KnownCertificate", KNOWN_BY, Certificate, without=("ven_id", "short", "full", "added_at"))
_OF_VEN = shape("CertificateOfVen", CERTIFICATE, ven_id=str)
_OWN = shape(
    "OwnCertificate", KNOWN_BY, kind=Literal["vtn", "ca"], subject=str, issuer=str, serial=str, not_after=datetime
)
_REVOKED = shape("RevokedCertificate", KNOWN_BY, Revoked, without=("short", "full"))


def known_by(short: bytes, full: bytes | None) -> dict[str, str | None]:
    """A fingerprint as it is shown: OpenADR's ten bytes, and the whole where that is known."""
    return {"fingerprint": fingerprint.show(short), "sha256": fingerprint.show(full) if full else None}


def certificate_row(certificate: Certificate) -> dict[str, Any]:
    """A certificate of a VEN."""
    said = ("subject", "issuer", "serial", "not_after", "revoked_at")
    return {
        **known_by(certificate.short, certificate.full),
        **{name: show(getattr(certificate, name)) for name in said},
    }


def revoked_row(revoked: Revoked) -> dict[str, Any]:
    """A certificate that is revoked."""
    return {
        **known_by(revoked.short, revoked.full), "ven_id": revoked.ven_id, "revoked_at": show(revoked.revoked_at)
    }  # fmt: skip


def own_row(kind: str, described: Description) -> dict[str, Any]:
    """A certificate of the VTN ("vtn") or of an authority ("ca")."""
    said = ("fingerprint", "sha256", "subject", "issuer", "serial", "not_after")
    return {"kind": kind, **{name: show(getattr(described, name)) for name in said}}


def until(now: datetime, seconds: float) -> datetime:
    """The moment after a time, or the last that there is."""
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _list(txn: Txn, query: CertificatesQuery, before: datetime | None) -> Page:
    found = stored.found(txn, query.cursor, query.limit, before=before, ven_id=query.ven_id)
    page, last = cut(found, query.limit, lambda each: each.key)
    return [{"ven_id": each.ven_id, **certificate_row(each)} for each in page], last


def _revoked(txn: Txn, query: RevokedQuery) -> Page:
    found = stored.found_revoked(txn, query.cursor, query.limit)
    page, last = cut(found, query.limit, lambda each: (microseconds(each.revoked_at), each.short.hex().upper()))
    return [revoked_row(each) for each in page], last


# --- routes -------------------------------------------------------------------------------------------


@route("GET", "/certificates", "read", page_of("certificates", _OF_VEN, own=many(_OWN)))
async def list_certificates(desk: Desk, request: IRequest, query: CertificatesQuery) -> bytes:
    """The certificates of VENs, those that end first first; with the first page the VTN's ``own`` and the CAs'."""
    before = None if query.expiring_within is None else until(desk.vtn.now(), query.expiring_within)
    first = query.cursor is None and query.ven_id is None
    own = [own_row(*each) for each in desk.own() if first and (before is None or each[1].not_after <= before)]
    page = await desk.fresh("list certificates", _list, query, before)
    return listed(request, "certificates", page, own=sorted(own, key=lambda each: str(each["not_after"])))


@route("GET", "/revocations", "read", page_of("revocations", _REVOKED))
async def list_revocations(desk: Desk, request: IRequest, query: RevokedQuery) -> bytes:
    """The certificates that operators have revoked."""
    return listed(request, "revocations", await desk.read("list revocations", _revoked, query))


@route("POST", "/revocations", "admin", shape("Revocation", revoked=many(_REVOKED)))
async def revoke(desk: Desk, request: IRequest, query: Rehearsal, body: Which) -> bytes:
    """Refuse a certificate from now on, or all that a VEN is known by; connections that show it are closed."""
    return await desk.do(
        request, query, certificates.revoke, body.fingerprint, body.ven_id,
        show=lambda txn, made, now: {"revoked": [revoked_row(each) for each in made]},
    )  # fmt: skip


@route("POST", "/revocations/restore", "admin", shape("Restored", restored=many(str)))
async def restore(desk: Desk, request: IRequest, query: Rehearsal, body: Which) -> bytes:
    """Take a revocation back, or all of a VEN's."""
    return await desk.do(
        request, query, certificates.restore, body.fingerprint, body.ven_id,
        show=lambda txn, shorts, now: {"restored": [fingerprint.show(short) for short in shorts]},
    )  # fmt: skip
