"""Vtn: the asynchronous face of the rules.  What comes in is run in a transaction, what is due goes out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

import attrs
from cryptography.x509 import load_der_x509_certificate
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..model.config import Config
from ..model.errors import NotRegistered
from ..model.event import OadrCreatedEvent, OadrDistributeEvent, OadrRequestEvent
from ..model.opt import OadrCancelOpt, OadrCreateOpt
from ..model.party import (
    EiResponse,
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatePartyRegistration,
    OadrQueryRegistration,
    OadrRequestReregistration,
    OadrResponse,
)
from ..model.report import (
    OadrCanceledReport,
    OadrCancelReport,
    OadrCreatedReport,
    OadrCreateReport,
    OadrRegisteredReport,
    OadrRegisterReport,
    OadrUpdatedReport,
    OadrUpdateReport,
)
from ..model.schema import Message
from ..security import fingerprint
from ..security.certificates import describe
from ..security.replay import Nonces, Window
from ..storage import certificates as certificate_rows
from ..storage import events as event_rows
from ..storage import nonces, vens
from ..storage import outbox as outbox_rows
from ..storage.database import Database, Txn
from ..storage.events import Telling
from ..storage.times import Times
from ..wire.codec import from_xml
from . import certificates, display, events, made, opts, outbox, provider, readings, registration, reports, wishes
from .changes import NOTHING, Changes
from .display import Distribution, Seen
from .hooks import NEWS, Hooks
from .noise import Noise
from .outbox import Due
from .rates import Rate
from .replay import Rule
from .roster import Entry, Lease, Look, Reading, Roster, Sent
from .traces import Traces, who

T = TypeVar("T")
Written = Callable[[Callable[[], None]], None]
"""Takes a function and calls it once the answer has left whole."""

LEASE = 0.8
"""Of a VEN's poll interval: so long what was sent is not sent again."""

_QUEUED: dict[str, type[Message]] = {
    "register_report": OadrRegisterReport,
    "create_report": OadrCreateReport,
    "cancel_report": OadrCancelReport,
    "update_report": OadrUpdateReport,
    "request_reregistration": OadrRequestReregistration,
    "cancel_registration": OadrCancelPartyRegistration,
}
"""What an entry of each kind holds."""

RULES: dict[type[Message], Callable[..., Any]] = {
    OadrQueryRegistration: registration.query,
    OadrCreatePartyRegistration: registration.create,
    OadrCancelPartyRegistration: registration.cancel,
    OadrCanceledPartyRegistration: registration.canceled,
    OadrCreatedEvent: events.created_event,
    OadrRegisterReport: reports.register_report,
    OadrRegisteredReport: provider.registered_report,
    OadrCreateReport: provider.create_report,
    OadrCreatedReport: reports.created_report,
    OadrUpdateReport: readings.update_report,
    OadrUpdatedReport: provider.updated_report,
    OadrCancelReport: provider.cancel_report,
    OadrCanceledReport: reports.canceled_report,
    OadrCreateOpt: opts.create,
    OadrCancelOpt: opts.cancel,
}
"""The rule for each message that a VEN may send: ``rule(txn, config, ven, message, now)``."""

ANSWERS = (
    OadrCanceledPartyRegistration,
    OadrCreatedEvent,
    OadrRegisteredReport,
    OadrCreatedReport,
    OadrUpdatedReport,
    OadrCanceledReport,
)
"""The messages whose rules also want to know what was ``sent`` and is not counted in the database yet."""


def _window(config: Config) -> Window:
    security = config.security
    return Window(timedelta(seconds=security.signature_age), timedelta(seconds=security.clock_skew))


def _render(txn: Txn, due: Due) -> Message | None:
    """The message of an entry that is due; None where that is no longer so."""
    entry = outbox_rows.get(txn, int(due.key))
    if entry is None or entry.state not in outbox_rows.OPEN:
        return None
    return from_xml(_QUEUED[entry.kind], entry.document)


def _give_up(txn: Txn, ven_id: str, key: int, now: datetime) -> tuple[None, Changes]:
    outbox_rows.close(txn, [key], "given_up", now)
    return None, Changes.of(ven_id)


def _pin(txn: Txn, full: bytes, now: datetime) -> tuple[None, Changes]:
    vens.pin(txn, fingerprint.short(full), full)
    return None, NOTHING


def _come_online(txn: Txn, ven_id: str, now: datetime) -> tuple[None, Changes]:
    ven = vens.get(txn, ven_id)
    if ven is None or ven.online or not ven.registered:
        return None, NOTHING
    vens.change(txn, ven_id, online=True, last_seen=now)
    return None, Changes.of(ven_id, hooks=(("on_ven_online", (ven_id,)),))


def _start(txn: Txn, config: Config, now: datetime) -> tuple[list[str], Changes]:
    vens.touch_all(txn, now)
    return _configure(txn, config, now)


def _configure(txn: Txn, config: Config, now: datetime) -> tuple[list[str], Changes]:
    """What the configuration says becomes what the database says."""
    gone, changes = registration.apply_configuration(txn, config, now)
    _, announced = provider.announce(txn, config, now)
    asked = wishes.ask_all(txn, config, now)
    return gone, attrs.evolve(changes, vens=changes.vens | announced.vens | asked.vens)


_FLUSHES: dict[str, Callable[[Txn, list[dict[str, Any]]], None]] = {
    "seen": vens.flush_seen,
    "entries": outbox_rows.count_offers,
    "events": event_rows.count_offers,
    "bends": vens.count_bends,
    "certificates": certificate_rows.note,
}
_FLUSHED_AT_ONCE = 2_000
"""So many rows of each kind are written in one transaction."""


def _flush(txn: Txn, rows: dict[str, list[dict[str, Any]]]) -> tuple[None, Changes]:
    """Write when VENs were heard, what was sent to them, how they bent the schema, what their certificates say."""
    for kind, write in _FLUSHES.items():
        write(txn, rows.get(kind, []))
    return None, NOTHING


class _Rehearsed(Exception):
    """Rolls back what a rule wrote, and carries its reply out."""

    def __init__(self, reply: Any) -> None:
        super().__init__()
        self.reply = reply


class Vtn:
    """What the handlers and the console ask.

    ``clock`` is for all that waits, ``wall`` tells the time (seconds since 1970; by default that of ``clock``).
    ``hooks`` are the functions that users have added.  ``polls`` knows the signed polls of late, ``traces`` the last
    messages of each VEN.  ``revoked`` are the certificates that operators have revoked, by their short fingerprints;
    ``look_again`` is called when there are more.
    """

    log = Logger()

    def __init__(
        self,
        config: Config,
        database: Database,
        clock: IReactorTime,
        revoked: set[bytes] | None = None,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self.config = config
        self.database = database
        self.clock = clock
        limits = config.limits
        self.roster = Roster(limits.roster, Rate.of(limits.message_rate, limits.outbox))
        self.noise = Noise(limits.log_lines, clock)
        self.limited: Counter[str] = Counter()
        """What was refused because of a limit, by its name in the configuration."""
        self.wall = wall or clock.seconds
        self.lag = Times()
        """How late the reactor called what it was to call."""
        self.polls = Nonces(_window(config), self.now())
        self.hooks = Hooks(clock, config.limits.request_timeout)
        self.traces = Traces(config.limits.trace, self.now)
        self.revoked: set[bytes] = set() if revoked is None else revoked
        self.look_again: Callable[[], object] = lambda: None
        database.publish = self._publish

    def now(self) -> datetime:
        """This moment."""
        return datetime.fromtimestamp(self.wall(), UTC)

    def write(self, name: str, rule: Callable[..., tuple[T, Changes]], *arguments: Any) -> Deferred[T]:
        """Run a rule that writes, with the present moment as its last argument."""
        return self.database.run(name, rule, *arguments, self.now())

    def rehearse(self, name: str, rule: Callable[..., tuple[T, Changes]], *arguments: Any) -> Deferred[T]:
        """What ``write`` would give, and nothing is changed by it."""

        def rehearsal(txn: Txn, *arguments: Any) -> tuple[T, Changes]:
            raise _Rehearsed(rule(txn, *arguments)[0])

        def rehearsed(failure: Failure) -> Any:
            failure.trap(_Rehearsed)
            return failure.value.reply

        return self.write(f"rehearse {name}", rehearsal, *arguments).addErrback(rehearsed)

    def start(self) -> Deferred[Any]:
        """What the configuration says becomes what the database says; no VEN has missed a poll yet."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        self._started(await self.write("start", _start, self.config))
        self.revoked |= await self.database.read("revoked", certificate_rows.revoked)
        for heard in await self.database.read("heard", nonces.ahead, self.polls.started):
            self.polls.know(*heard)

    def _started(self, gone: list[str]) -> None:
        for ven_id in gone:
            self.log.warn("VEN {ven_id!r} is no longer in the configuration and is not let in", ven_id=ven_id)

    def reconfigure(self, config: Config) -> Deferred[Any]:
        """Take over the VENs, the wishes and the offers of a new configuration."""
        self.config = config
        self.polls.window = _window(config)
        return self.write("configure", _configure, config).addCallback(self._started)

    def _publish(self, changes: Changes) -> None:
        self.roster.publish(changes)
        self.revoked -= changes.restored
        if changes.revoked:
            self.revoked |= changes.revoked
            self.look_again()
        for name, arguments in changes.hooks:
            self.log.info(NEWS[name], **dict(zip(("ven_id", "event_id"), arguments, strict=False)))
            self.hooks.tell(name, *arguments)

    # --- who speaks ---------------------------------------------------------------------------------

    def identify(self, full: bytes) -> Deferred[Entry | None]:
        """The VEN of a certificate by its SHA-256; None for one that is not known.

        A certificate that was known by the last ten bytes alone is pinned at first contact.
        """
        if entry := self.roster.find(full):
            return succeed(entry)
        found = self.database.read("identify", vens.by_fingerprint, fingerprint.short(full))
        return found.addCallback(self._identified, full, self.roster.reading())

    def _identified(self, found: tuple[vens.Ven, bytes | None] | None, full: bytes, reading: Reading) -> Any:
        if found is None:
            return None
        ven, pinned = found
        if pinned is None:
            return self.write("pin", _pin, full).addCallback(lambda _: self.identify(full))
        if not fingerprint.matches(pinned, full):
            return None
        return self.roster.put(ven, full, reading, self.clock.seconds()) or self.identify(full)

    def seen(self, entry: Entry) -> None:
        """A VEN was heard."""
        entry.last_seen = self.now()
        self.roster.dirty.add(entry)
        if entry.ven.registered and not entry.ven.online and not entry.coming_online:
            entry.coming_online = True
            online = self.write("online", _come_online, entry.ven.ven_id)
            online.addErrback(lambda failure: self.log.failure("could not note that a VEN is online", failure))
            online.addBoth(lambda _: setattr(entry, "coming_online", False))

    def turned_away(self, full: bytes, peer: str, service: str, code: str, verdict: str) -> None:
        """Note what a certificate's owner sent that was refused before it was read, ``service`` being where to."""
        entry = self.roster.find(full)
        of = who(entry.ven if entry else None, full)
        self.traces.note(of, "in", b"", peer=peer, service=service, name="", code=code, verdict=verdict)

    def met(self, entry: Entry, full: bytes, der: bytes) -> None:
        """A VEN has shown this certificate on a new connection: what it says is kept."""
        if full in entry.met:
            return
        entry.met += (full,)
        try:
            entry.certificates += (certificates.row(describe(load_der_x509_certificate(der))),)
        except ValueError as error:
            self.log.warn(
                "the certificate of VEN {ven_id!r} cannot be read: {error}", ven_id=entry.ven.ven_id, error=error
            )
            return
        self.roster.dirty.add(entry)

    async def flush(self) -> None:
        """Write what is counted: when VENs were heard, what was sent to them, how they bent the schema."""
        rows, counted = defaultdict[str, list[dict[str, Any]]](list), []
        for entry in self.roster.dirty:
            if entry.sent:
                counted.append(entry)
            for kind, found in entry.flushed(self.now()).items():
                rows[kind].extend(found)
        self.roster.dirty.clear()
        # Others write in between.
        for first in range(0, max(map(len, rows.values()), default=0), _FLUSHED_AT_ONCE):
            part = {kind: found[first : first + _FLUSHED_AT_ONCE] for kind, found in rows.items()}
            await self.database.run("flush", _flush, part)
        for entry in counted:
            entry.forget_due()  # which told the counts of before
        self.roster.shrink(len(self.roster))

    # --- what comes in ------------------------------------------------------------------------------

    def handle(
        self,
        entry: Entry | None,
        message: Message,
        registration_id: str | None = None,
        once: Callable[[Rule], Rule] = lambda rule: rule,
    ) -> Deferred[Any]:
        """The answer to a message by its rule; after the commit, where the rule writes.

        ``registration_id`` is the one under which a user's handler registers the VEN.  ``once`` makes the rule one
        that a message which comes again does not run.
        """
        ven = entry.ven if entry else None
        rule = RULES[type(message)]
        if registration_id:
            rule = partial(rule, registration_id=registration_id)
        if entry and isinstance(message, ANSWERS):
            rule = partial(rule, sent={key: sent.at for key, sent in entry.sent.items()})
        handled = self.write(message.name(), once(rule), self.config, ven, message)
        if entry and isinstance(message, OadrUpdateReport):
            handled.addCallback(self._updated, entry, {report.report_request_id for report in message.reports})
        return handled

    def _updated(self, reply: OadrUpdatedReport, entry: Entry, ids: set[str]) -> Deferred[OadrUpdatedReport]:
        """The answer to data takes along what stops one of these reports, where that is due (7.6)."""

        def without(failure: Failure) -> OadrUpdatedReport:
            self.log.failure("what is to stop could not be told with an answer to data", failure)
            return reply

        return self._due(entry).addCallback(self._stop, entry, ids, reply).addErrback(without)

    def _stop(self, due: tuple[Due, ...], entry: Entry, ids: set[str], reply: OadrUpdatedReport) -> Any:
        for item in due:
            if not isinstance(item.key, int) or item.kind != "cancel_report" or item.references.isdisjoint(ids):
                continue
            # Once its lease is over, a poll has the first turn: some VENs take it from there alone.
            until = self._leased_until(entry, item)
            turn = until + entry.ven.poll_frequency if until else 0
            if turn <= self.clock.seconds() and entry.offers(item) < outbox.MOST_OFFERS:
                self._lease(entry, item)
                entry.count(item.key, self.now())
                self.roster.dirty.add(entry)
                rendered = self.database.read("render", _render, item)
                return rendered.addCallback(lambda cancel: reply.evolve(cancel_report=cancel))
        return reply

    def request_event(self, entry: Entry, message: OadrRequestEvent, written: Written) -> Deferred[OadrDistributeEvent]:
        """The answer to oadrRequestEvent, counted and leased like any other sending of events."""
        return self._due(entry).addCallback(self._requested, entry, message, written)

    def _requested(self, due: tuple[Due, ...], entry: Entry, message: OadrRequestEvent, written: Written) -> Any:
        item = next((item for item in due if item.kind == "events"), None)
        # What a replyLimit may have cut off was not sent.
        delivers = self._lease(entry, item) if item and message.reply_limit is None else frozenset()
        asked = self.database.read(message.name(), display.look, entry.ven.ven_id, self.now())
        return asked.addCallback(self._answered, entry, message, delivers, written)

    def _answered(
        self,
        seen: tuple[Seen, ...],
        entry: Entry,
        message: OadrRequestEvent,
        delivers: frozenset[Telling],
        written: Written,
    ) -> OadrDistributeEvent:
        """The answer to oadrRequestEvent: always an oadrDistributeEvent, even an empty one."""
        sending = display.distribute(seen, self.config.vtn_id, self.now(), message.reply_limit, message.request_id)
        return self._sent_events(sending, entry, delivers, written)

    # --- what goes out ------------------------------------------------------------------------------

    def poll(self, entry: Entry, written: Written) -> Deferred[Message]:
        """What a VEN gets that polls: what is due first, else a bare oadrResponse.

        ``written`` is given a function to call once the answer has left whole.  Fails with NotRegistered.
        """
        if not entry.ven.registered:
            return maybeDeferred(self._unregistered, entry)
        return self._due(entry).addCallback(self._next, entry, written)

    def _due(self, entry: Entry) -> Deferred[tuple[Due, ...]]:
        if entry.due is not None:
            return succeed(entry.due)
        waiting: Deferred[tuple[Due, ...]] = Deferred()
        if entry.look and entry.look.revision == entry.revision:
            entry.look.waiting.append(waiting)
            return waiting
        entry.look = Look(entry.revision, [waiting])
        looks = {entry: entry.look}
        for other in self.roster.ahead():
            looks[other] = other.look = Look(other.revision)
        looked = self.database.read("due", outbox.due, [one.ven.ven_id for one in looks], self.now())
        looked.addBoth(self._looked, looks)
        return waiting

    def _looked(self, found: dict[str, tuple[Due, ...]] | Failure, looks: dict[Entry, Look]) -> None:
        """Keep what was found of each VEN if nothing has happened since, and tell it to whom waits for it."""
        for entry, look in looks.items():
            if entry.look is look:
                entry.look = None
            if isinstance(found, Failure):
                for waiting in look.waiting:
                    waiting.errback(found)
                continue
            due = found[entry.ven.ven_id]
            if entry.revision == look.revision:
                entry.due = tuple(item.lasting() for item in due)
            else:
                due = tuple(attrs.evolve(item, seen=None) for item in due)
            for waiting in look.waiting:
                waiting.callback(due)

    def _leased_until(self, entry: Entry, item: Due) -> float:
        """Seconds of the clock; 0 for what never went out."""
        lease = entry.leases.get(item.key)
        if lease is None:
            ago = self.wall() - item.offered.timestamp() if item.offered else -1.0  # below 0: the clock was set back
            return self.clock.seconds() - ago + LEASE * entry.ven.poll_frequency if ago >= 0 else 0
        return lease.until if lease.covers.issuperset(line.telling for line in item.lines) else 0

    def _lease(self, entry: Entry, item: Due) -> frozenset[Telling]:
        """Note that something goes out now; of events, those that did not just a moment ago."""
        now = self.clock.seconds()
        lease = entry.leases.get(item.key)
        running = lease if lease and lease.until > now else None
        keys = frozenset(line.telling for line in item.lines)
        delivers = keys - running.covers if running else keys
        if delivers or not running:
            entry.leases[item.key] = Lease(now + LEASE * entry.ven.poll_frequency, keys)
        return delivers

    def _next(self, due: tuple[Due, ...], entry: Entry, written: Written) -> Any:
        if entry.leases:
            known = {item.key for item in due}
            entry.leases = {key: lease for key, lease in entry.leases.items() if key in known}
        now = self.clock.seconds()
        leased = ((self._leased_until(entry, item), item) for item in due)
        free = [(until, item) for until, item in leased if until <= now and not entry.delivered(item)]
        if not free:
            return OadrResponse(response=EiResponse.ok(), ven_id=entry.ven.ven_id)
        # What never went out comes first, in its order; then what waited longest: nothing blocks the rest.
        _, item = min(free, key=itemgetter(0))
        ven_id = entry.ven.ven_id
        if isinstance(item.key, int) and entry.offers(item) >= outbox.MOST_OFFERS:
            self.log.warn("VEN {ven_id!r} never answered {kind}: given up", ven_id=ven_id, kind=item.kind)
            given_up = self.write("give up", _give_up, ven_id, item.key)
            return given_up.addCallback(lambda _: self.poll(entry, written))
        delivers = self._lease(entry, item)
        if isinstance(item.key, int):
            return self.database.read("render", _render, item).addCallback(self._rendered, entry, item.key, written)
        if item.seen is not None:
            return self._distribute(item.seen, entry, delivers, written)
        seen = self.database.read("look", display.look, ven_id, self.now())
        return seen.addCallback(self._distribute, entry, delivers, written)

    def _rendered(self, message: Message | None, entry: Entry, key: int, written: Written) -> Any:
        if message is None:
            entry.due = None
            return self.poll(entry, written)
        entry.count(key, self.now())
        self.roster.dirty.add(entry)
        return message

    def _distribute(self, seen: tuple[Seen, ...], entry: Entry, delivers: frozenset[Telling], written: Written) -> Any:
        sending = display.distribute(seen, self.config.vtn_id, self.now())
        if not sending.open:
            entry.due = None
            return self.poll(entry, written)
        return self._sent_events(sending, entry, delivers, written)

    def _sent_events(
        self,
        sending: Distribution,
        entry: Entry,
        delivers: frozenset[Telling],
        written: Written,
    ) -> OadrDistributeEvent:
        """Count a sending of events; once it has left whole, it is a delivery of those in ``delivers``."""
        now = self.now()
        for key in sending.tellings:
            entry.count(key, now)
        self.roster.dirty.add(entry)
        if delivered := delivers & sending.tellings:
            written(lambda: self._events_written(entry, delivered))
        return sending.message

    def _events_written(self, entry: Entry, keys: frozenset[Telling]) -> None:
        for key in keys:
            if key not in entry.sent:  # it was written by now that it went out
                entry.sent[key] = Sent(self.now())
            entry.sent[key].clean += 1
        self.roster.dirty.add(entry)

    def lacks_report(self, entry: Entry) -> bool:
        """Whether a user's handler may be asked for a report now: once in a lease, so that bursts of polls end."""
        now = self.clock.seconds()
        if not entry.ven.registered or entry.asked_until > now:
            return False
        entry.asked_until = now + LEASE * entry.ven.poll_frequency
        return True

    def supply(self, entry: Entry, handler: str, pieces: Sequence[Any]) -> Deferred[None]:
        """Store what a user's handler has for a VEN."""
        return self.write("supply", made.store, self.config, entry.ven, handler, pieces)

    def _unregistered(self, entry: Entry) -> Message:
        """What a VEN gets that polls after its registration was lost."""
        if self.config.registration.unregistered_poll != "reregister":
            raise NotRegistered("this VEN is not registered")
        if entry.leases.get("reregister", Lease(0)).until > self.clock.seconds():
            return OadrResponse(response=EiResponse.ok(), ven_id=entry.ven.ven_id)
        entry.leases["reregister"] = Lease(self.clock.seconds() + LEASE * entry.ven.poll_frequency)
        return OadrRequestReregistration(ven_id=entry.ven.ven_id)
