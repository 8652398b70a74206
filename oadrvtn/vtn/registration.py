"""Rules of EiRegisterParty: who may register, what a registration starts, and how it ends (spec section 8.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import get_args

import attrs

from ..model.config import Config, Signatures
from ..model.errors import DeploymentError, InvalidData, InvalidID, NotAllowed, NotRegistered
from ..model.party import (
    EiResponse,
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatedPartyRegistration,
    OadrCreatePartyRegistration,
    OadrProfile,
    OadrQueryRegistration,
    OadrRequestReregistration,
    OadrResponse,
    says_yes,
)
from ..model.values import Duration, shown
from ..security import fingerprint
from ..storage import certificates, events, outbox, provided, reports, vens
from ..storage.database import Txn
from ..storage.vens import Candidate, Ven
from ..wire import bends
from .audience import reconcile
from .changes import NOTHING, Changes, generate_id
from .outbox import NOT_SENT, Sendings, put, settle
from .provider import tell_offers
from .requests import ask_again, current, forget, registered

PROFILES = (OadrProfile(profile_name="2.0b", transports=("simpleHttp",)),)
"""What this VTN speaks; mandatory in every oadrCreatedPartyRegistration."""


def _created(config: Config, request_id: str, ven: Ven | None) -> OadrCreatedPartyRegistration:
    # The poll frequency is in every good answer: VENs in the field read it without looking whether it is there.
    known = ven if ven and ven.registered else None
    return OadrCreatedPartyRegistration(
        response=EiResponse.ok(request_id),
        registration_id=known.registration_id if known else None,
        ven_id=known.ven_id if known else None,
        vtn_id=config.vtn_id,
        profiles=PROFILES,
        requested_poll_freq=Duration.of(_frequency(config, ven)),
    )


def _frequency(config: Config, ven: Ven | None) -> float:
    """How often a VEN is to poll."""
    return (ven and ven.wanted_poll_frequency) or config.registration.poll_frequency


def query(
    txn: Txn, config: Config, ven: Ven | None, message: OadrQueryRegistration, now: datetime
) -> tuple[OadrCreatedPartyRegistration, Changes]:
    """What the VTN supports; the VEN's own IDs only if it is registered, which then may learn a new poll frequency."""
    known = current(txn, ven.ven_id) if ven else None
    reply = _created(config, message.request_id, known)
    if not known or not known.registered or known.poll_frequency == _frequency(config, known):
        return reply, NOTHING
    vens.change(txn, known.ven_id, poll_frequency=_frequency(config, known))
    return reply, Changes.of(known.ven_id)


def check_offer(message: OadrCreatePartyRegistration) -> None:
    """Raise DeploymentError where a VEN wants a profile or a transport that this VTN does not offer."""
    address = (message.transport_address or "").strip()
    wants_push = message.http_pull_model is False or (message.http_pull_model is None and address not in ("", "None"))
    refusals = (
        (message.profile_name != "2.0b", f"profile {message.profile_name} is not offered, only 2.0b"),
        (message.transport_name != "simpleHttp", f"transport {message.transport_name} is not offered, only simpleHttp"),
        (wants_push, "HTTP push is not offered: register with oadrHttpPullModel true and poll"),
    )
    for refused, reason in refusals:
        if refused:
            raise DeploymentError(reason)


def create(
    txn: Txn,
    config: Config,
    ven: Ven,
    message: OadrCreatePartyRegistration,
    now: datetime,
    registration_id: str | None = None,
) -> tuple[OadrCreatedPartyRegistration, Changes]:
    """Register a VEN, or register it again, also where it forgot its IDs: the certificate says who it is.

    Starts a new epoch: what was queued is superseded, the VTN's oadrRegisterReport comes first, then the
    events.  ``registration_id`` is the one that a user's handler chose.
    """
    ven = current(txn, ven.ven_id)
    check_offer(message)
    if message.registration_id and ven.registered and message.registration_id != ven.registration_id:
        raise InvalidID("registrationID is not the one that this VEN was given")
    vens.change(
        txn,
        ven.ven_id,
        registration_id=registration_id or ven.registration_id or generate_id("reg-"),
        registered_at=now,
        epoch=ven.epoch + 1,
        ven_name=message.ven_name,
        profile_name=message.profile_name,
        transport_name=message.transport_name,
        report_only=message.report_only,
        xml_signature=message.xml_signature,
        poll_frequency=_frequency(config, ven),
        online=True,
        last_seen=now,
    )
    again = current(txn, ven.ven_id)
    if ven.epoch:  # else there is nothing yet that could end, or be told again
        _start_again(txn, again, now)
    tell_offers(txn, config, again, now)
    if not again.report_only:
        reconcile(txn, [ven.ven_id], now)
    hooks = () if ven.online else (("on_ven_online", (ven.ven_id,)),)
    return _created(config, message.request_id, again), Changes.of(ven.ven_id, hooks=hooks)


def _start_again(txn: Txn, ven: Ven, now: datetime) -> None:
    answered = ("request_reregistration", "cancel_registration")
    outbox.close(txn, [entry.id for entry in outbox.pending(txn, ven.ven_id) if entry.kind in answered], "done", now)
    _close_all(txn, ven.ven_id, now)
    forget(txn, ven.ven_id)
    ask_again(txn, ven, now)
    if not ven.report_only:
        events.show_again(txn, ven.ven_id, now)


def _close_all(txn: Txn, ven_id: str, now: datetime) -> None:
    """What was queued for a VEN, or asked by it and of it, ends with its registration."""
    provided.end(txn, ven_id, "superseded")
    outbox.supersede(txn, ven_id, now)
    reports.supersede_requests(txn, ven_id, now)


def _end(txn: Txn, ven: Ven, now: datetime) -> Changes:
    vens.change(txn, ven.ven_id, registration_id=None, epoch=ven.epoch + 1, online=False)
    _close_all(txn, ven.ven_id, now)
    return Changes.of(ven.ven_id)


def cancel(
    txn: Txn, config: Config, ven: Ven, message: OadrCancelPartyRegistration, now: datetime
) -> tuple[OadrCanceledPartyRegistration, Changes]:
    """The VEN ends its registration; it may register again at any time."""
    ven = current(txn, ven.ven_id)
    if not ven.registered or message.registration_id != ven.registration_id:
        raise InvalidID("registrationID is not the one that this VEN was given")
    reply = OadrCanceledPartyRegistration(
        response=EiResponse.ok(message.request_id), registration_id=ven.registration_id, ven_id=ven.ven_id
    )
    return reply, _end(txn, ven, now)


def canceled(
    txn: Txn, config: Config, ven: Ven, message: OadrCanceledPartyRegistration, now: datetime, sent: Sendings = NOT_SENT
) -> tuple[OadrResponse, Changes]:
    """The VEN's answer to the VTN's oadrCancelPartyRegistration ends the registration.

    It may find it ended already: both sides may cancel at once, and answers may come twice.
    """
    ven = current(txn, ven.ven_id)
    if not ven.registered and not outbox.ever(txn, ven.ven_id, "cancel_registration"):
        raise NotRegistered(f"VEN {ven.ven_id!r} is not registered")
    closed = settle(txn, ven, "cancel_registration", message.response, now, sent=sent)
    reply = OadrResponse(response=EiResponse.ok(message.response.request_id), ven_id=ven.ven_id)
    if any(entry.epoch == ven.epoch for entry in closed) and says_yes(message.response.response_code):
        return reply, _end(txn, ven, now)
    return reply, Changes.of(ven.ven_id)


# --- what an operator asks ----------------------------------------------------------------------------


def request_cancellation(txn: Txn, ven_id: str, now: datetime) -> tuple[None, Changes]:
    """Ask a VEN to take note that its registration ends."""
    ven = registered(txn, ven_id)
    assert ven.registration_id
    outbox.supersede(txn, ven_id, now, ["cancel_registration"])
    request_id = generate_id("req-")
    message = OadrCancelPartyRegistration(request_id=request_id, registration_id=ven.registration_id, ven_id=ven_id)
    put(txn, ven, "cancel_registration", message, now, request_id=request_id)
    return None, Changes.of(ven_id)


def request_reregistration(txn: Txn, ven_id: str, now: datetime) -> tuple[None, Changes]:
    """Ask a VEN to register again."""
    ven = registered(txn, ven_id)
    outbox.supersede(txn, ven_id, now, ["request_reregistration"])
    put(txn, ven, "request_reregistration", OadrRequestReregistration(ven_id=ven_id), now)
    return None, Changes.of(ven_id)


# --- what a VEN has for itself --------------------------------------------------------------------------


def _of_operators(txn: Txn, ven_id: str, name: str) -> Ven:
    """A VEN of which operators may set this; the configuration's are told there."""
    ven = current(txn, ven_id)
    if ven.source == "config":
        raise NotAllowed.at(name, f"VEN {ven_id!r} is listed in the configuration file: set it there")
    return ven


def set_poll_frequency(
    txn: Txn, config: Config, ven_id: str, seconds: float | None, now: datetime
) -> tuple[Ven, Changes]:
    """Give a VEN a poll frequency of its own, or with None that of the configuration.

    It is told in the next oadrCreatedPartyRegistration, for which a registered VEN is asked to register again.
    Raises InvalidData for what is no whole number of seconds above zero.
    """
    ven = _of_operators(txn, ven_id, "poll_frequency")
    if seconds is not None:
        try:
            seconds = attrs.evolve(config.registration, poll_frequency=seconds).poll_frequency
        except ValueError as error:
            raise InvalidData.at("poll_frequency", str(error)) from None
    return _want(txn, config, ven, seconds, now), Changes.of(ven_id)


def _want(txn: Txn, config: Config, ven: Ven, seconds: float | None, now: datetime) -> Ven:
    """Note a VEN's own poll frequency; where it was told another one it is asked to register again."""
    vens.change(txn, ven.ven_id, wanted_poll_frequency=seconds)
    ven = current(txn, ven.ven_id)
    if ven.registered and ven.poll_frequency != _frequency(config, ven):
        request_reregistration(txn, ven.ven_id, now)
    return ven


def set_leniency(txn: Txn, ven_id: str, profile: str | None, now: datetime) -> tuple[Ven, Changes]:
    """Give a VEN a leniency profile of its own, or with None that of the configuration; from its next message on."""
    _of_operators(txn, ven_id, "leniency")
    if profile is not None and profile not in bends.PROFILES:
        raise InvalidData.at("leniency", f"{profile!r} is no profile", bends.PROFILES)
    vens.change(txn, ven_id, leniency=profile)
    return current(txn, ven_id), Changes.of(ven_id)


def set_signatures(txn: Txn, ven_id: str, level: str | None, now: datetime) -> tuple[Ven, Changes]:
    """Say what a VEN's messages are about signatures, or with None that the configuration says it."""
    _of_operators(txn, ven_id, "signatures")
    if level is not None and level not in get_args(Signatures):
        raise InvalidData.at("signatures", f"{level!r} is no level", get_args(Signatures))
    vens.change(txn, ven_id, signatures=level)
    return current(txn, ven_id), Changes.of(ven_id)


def set_signing_fingerprint(txn: Txn, ven_id: str, full: bytes | None, now: datetime) -> tuple[Ven, Changes]:
    """Say with which certificate a VEN signs, or with None that it is the one of its connections."""
    _of_operators(txn, ven_id, "signing_fingerprint")
    if full is not None and len(full) != fingerprint.FULL:
        raise InvalidData.at("signing_fingerprint", f"is not the whole SHA-256 of a certificate: {len(full)} bytes")
    vens.change(txn, ven_id, signing_fingerprint=full)
    return current(txn, ven_id), Changes.of(ven_id)


# --- who may come in ----------------------------------------------------------------------------------


def admit(
    txn: Txn, config: Config, ven_id: str | None, name: str, source: str, full: bytes, now: datetime
) -> tuple[Ven, Changes]:
    """Make a VEN of a certificate that a policy or a user's handler lets in.

    ``ven_id`` is the one it asks for or was given.  A venID that has certificates already is another VEN's;
    one that the configuration does not list any more comes in again by an operator only.
    """
    short = fingerprint.short(full)
    _refuse_revoked(txn, short)
    if owner := vens.owner(txn, short):
        return current(txn, owner), NOTHING
    ven_id = ven_id or generate_id("ven-")
    present = vens.get(txn, ven_id)
    if present is None:
        vens.add(txn, ven_id, name or ven_id, source, config.registration.poll_frequency, now)
    elif vens.fingerprints(txn, ven_id):
        raise NotRegistered(f"venID {shown(ven_id)} belongs to another certificate")
    elif present.source == "unlisted":
        if source != "operator":
            raise NotRegistered(f"venID {shown(ven_id)} is not let in any more")
        vens.change(txn, ven_id, source=source)
    vens.add_fingerprint(txn, ven_id, short, full, now)
    vens.drop_candidate(txn, short)
    return current(txn, ven_id), Changes.of(ven_id)


def _refuse_revoked(txn: Txn, short: bytes) -> None:
    if certificates.is_revoked(txn, short):
        raise NotRegistered(f"the certificate {fingerprint.show(short)} is revoked")


def enroll(
    txn: Txn,
    config: Config,
    certificate: bytes,
    ven_id: str | None,
    source: str,
    message: OadrCreatePartyRegistration,
    registration_id: str | None,
    now: datetime,
) -> tuple[OadrCreatedPartyRegistration, Changes]:
    """Admit a certificate and register its VEN, both or neither."""
    ven, _ = admit(txn, config, ven_id, message.ven_name or "", source, certificate, now)
    return create(txn, config, ven, message.evolve(ven_id=ven.ven_id), now, registration_id)


def remember(
    txn: Txn, config: Config, full: bytes, subject: str, ven_id: str | None, ven_name: str | None, now: datetime
) -> tuple[None, Changes]:
    """Keep a certificate on the list of those that wait for approval, with what it says of itself."""
    _refuse_revoked(txn, fingerprint.short(full))
    candidate = Candidate(full, subject, ven_id or None, ven_name, first_seen=now, last_seen=now)
    vens.remember_candidate(txn, candidate, config.limits.unknown_certificates)
    return None, NOTHING


def waiting(txn: Txn, known: bytes) -> Candidate:
    """The certificate of a fingerprint that waits for approval.  Raises InvalidID."""
    candidate = vens.candidate(txn, fingerprint.short(known))
    if candidate is None:
        raise InvalidID("no certificate of this fingerprint waits for approval")
    return candidate


def approve(
    txn: Txn, config: Config, known: bytes, ven_id: str | None, name: str | None, now: datetime
) -> tuple[Ven, Changes]:
    """Let in the certificate of a fingerprint that waits, by default as the VEN that it says it is."""
    candidate = waiting(txn, known)
    vens.drop_candidate(txn, fingerprint.short(known))
    return admit(
        txn, config, ven_id or candidate.ven_id, name or candidate.ven_name or "", "operator", candidate.full, now
    )


def add(
    txn: Txn, config: Config, ven_id: str, name: str, fingerprints: Sequence[bytes], source: str, now: datetime
) -> tuple[Ven, Changes]:
    """Make a VEN known by one or two certificates, or give a known one other certificates.

    ``fingerprints`` are 10 or 32 bytes each.  Raises NotAllowed for a certificate that is another VEN's.
    """
    shorts = [fingerprint.short(known) for known in fingerprints]
    if not 1 <= len(set(shorts)) <= 2:
        raise InvalidData.at("fingerprints", "a VEN has one or two certificates")
    if vens.get(txn, ven_id) is None:
        vens.add(txn, ven_id, name, source, config.registration.poll_frequency, now)
    else:
        vens.change(txn, ven_id, name=name, source=source)
    vens.drop_fingerprints(txn, ven_id, shorts)
    for known, short in zip(fingerprints, shorts, strict=True):
        owner = vens.owner(txn, short)
        if owner not in (None, ven_id):
            raise NotAllowed.at("fingerprints", f"{fingerprint.show(short)} belongs to VEN {owner!r}")
        full = known if len(known) == fingerprint.FULL else None
        if owner is None:
            vens.add_fingerprint(txn, ven_id, short, full, now)
        elif full:
            vens.pin(txn, short, full)
    return current(txn, ven_id), Changes.of(ven_id)


def add_new(
    txn: Txn, config: Config, ven_id: str, name: str, fingerprints: Sequence[bytes], now: datetime
) -> tuple[Ven, Changes]:
    """Like ``add``, by an operator, for a venID that must not exist yet."""
    if vens.get(txn, ven_id):
        raise NotAllowed.at("ven_id", f"{ven_id!r} exists")
    return add(txn, config, ven_id, name, fingerprints, "operator", now)


def remove(txn: Txn, ven_id: str, now: datetime) -> tuple[None, Changes]:
    """Forget a VEN, its readings and its answers; raises NotAllowed for one that the configuration lists."""
    if current(txn, ven_id).source == "config":
        raise NotAllowed(f"VEN {ven_id!r} is listed in the configuration file: take it out there")
    vens.remove(txn, ven_id)
    return None, Changes.of(ven_id)


def apply_configuration(txn: Txn, config: Config, now: datetime) -> tuple[list[str], Changes]:
    """Write the configuration's VENs; those that it no longer lists are kept, but not let in any more."""
    listed = {known.ven_id for known in config.vens}
    gone = [ven.ven_id for ven in vens.listed(txn, "config") if ven.ven_id not in listed]
    for ven_id in gone:
        vens.drop_fingerprints(txn, ven_id, [])
        vens.change(txn, ven_id, source="unlisted")
    wanted = {known.ven_id: [fingerprint.parse(text) for text in known.fingerprints] for known in config.vens}
    for ven_id, fingerprints in wanted.items():  # all first: two VENs may have swapped their certificates
        vens.drop_fingerprints(txn, ven_id, map(fingerprint.short, fingerprints))
    for known in config.vens:
        ven, _ = add(txn, config, known.ven_id, known.name or known.ven_id, wanted[known.ven_id], "config", now)
        vens.change(
            txn,
            known.ven_id,
            leniency=known.leniency,
            signatures=known.signatures,
            signing_fingerprint=known.signing_fingerprint and fingerprint.parse(known.signing_fingerprint),
        )
        if known.poll_frequency != ven.wanted_poll_frequency:
            _want(txn, config, ven, known.poll_frequency, now)
    return gone, Changes(vens=frozenset(gone) | listed)
