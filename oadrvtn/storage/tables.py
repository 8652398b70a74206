"""The tables.  Instants are whole microseconds since 1970 in UTC, messages are kept as canonical XML."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    and_,
    false,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


FOREVER = datetime.max.replace(tzinfo=UTC)
"""The end of what is open-ended, where instants are compared."""


def microseconds(instant: datetime) -> int:
    """An aware datetime as the tables keep it."""
    return (instant - _EPOCH) // _MICROSECOND


def instant(stored: int) -> datetime:
    """The inverse of ``microseconds``."""
    return _EPOCH + timedelta(microseconds=stored)


class Instant(TypeDecorator[datetime]):
    """An instant: aware datetimes in Python, microseconds in the database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """To the database."""
        return None if value is None else microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """From the database."""
        return None if value is None else instant(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _ven_id(primary_key: bool = False) -> Column[str]:
    return Column(
        "ven_id", String, ForeignKey("vens.ven_id", ondelete="CASCADE"), primary_key=primary_key, nullable=False
    )


# A VEN and its registration; without a registration_id it is known, but not registered.
vens = Table(
    "vens",
    metadata,
    Column("ven_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("source", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("registration_id", String, unique=True),
    Column("registered_at", Instant),
    Column("epoch", Integer, nullable=False, default=0),
    Column("ven_name", String),
    Column("profile_name", String),
    Column("transport_name", String),
    Column("report_only", Boolean, nullable=False, default=False),
    Column("xml_signature", Boolean, nullable=False, default=False),
    Column("poll_frequency", Float, nullable=False),
    Column("wanted_poll_frequency", Float),
    Column("leniency", String),
    Column("signatures", String),
    Column("signing_fingerprint", LargeBinary(32)),
    Column("online", Boolean, nullable=False, default=False),
    Column("last_seen", Instant),
    Column("suspended_at", Instant),
    Index(None, "online", "last_seen"),
)

# What a VEN's certificate is known by: the last ten bytes of its SHA-256, and the whole once it was seen.  What it
# says of itself is known once it was seen, too; ``serial`` is in hex.
certificates = Table(
    "certificates",
    metadata,
    Column("short", LargeBinary(10), primary_key=True),
    Column("full", LargeBinary(32)),
    _ven_id(),
    Column("added_at", Instant, nullable=False),
    Column("subject", String),
    Column("issuer", String),
    Column("serial", String),
    Column("not_after", Instant),
    Index(None, "ven_id"),
    Index(None, "not_after"),
)

# The certificates that operators have revoked; ``ven_id`` is whose they were then.
revoked = Table(
    "revoked",
    metadata,
    Column("short", LargeBinary(10), primary_key=True),
    Column("full", LargeBinary(32)),
    Column("ven_id", String),
    Column("revoked_at", Instant, nullable=False),
    Index(None, "ven_id"),
)

# The signed messages of late, but for polls, by the SHA-256 of the certificate that signed them.
nonces = Table(
    "nonces",
    metadata,
    Column("signer", LargeBinary(32), primary_key=True),
    Column("timestamp", Instant, primary_key=True),
    Column("nonce", String, primary_key=True),
    Index(None, "timestamp"),
    sqlite_with_rowid=False,
)

# Groups of VENs, kept by operators; who is in one stands among the traits.
groups = Table(
    "groups",
    metadata,
    Column("group_id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
)

# What a VEN may be targeted by, beside its venID.  ``kind`` is a field of EiTarget ("group_ids",
# "resource_ids", "party_ids", "pnodes"...) or "market_contexts": the programs it takes part in.
# ``source`` says who knows it: "operator", or "metadata" for the resources that its reports name.
traits = Table(
    "traits",
    metadata,
    _ven_id(primary_key=True),
    Column("kind", String, primary_key=True),
    Column("value", String, primary_key=True),
    Column("source", String, primary_key=True),
    Index(None, "kind", "value"),
    sqlite_with_rowid=False,
)

# Certificates that asked to be let in, under the policy "approve".
candidates = Table(
    "candidates",
    metadata,
    Column("full", LargeBinary(32), primary_key=True),
    Column("subject", String, nullable=False),
    Column("ven_id", String),
    Column("ven_name", String),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Index(None, "last_seen"),
)

# How often a VEN needed which bend.
bends = Table(
    "bends",
    metadata,
    _ven_id(primary_key=True),
    Column("bend", String, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_at", Instant, nullable=False),
)

# An event; the document is its eiEvent, to which the clock and each VEN's view are applied when it is sent.
# ``ends_at`` is the end of its active period, ``gone_at`` when it is no longer sent; both NULL: open-ended.
events = Table(
    "events",
    metadata,
    Column("event_id", String, primary_key=True),
    Column("modification_number", Integer, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("for_everyone", Boolean, nullable=False),
    Column("market_context", String, nullable=False),
    Column("dtstart", Instant, nullable=False),
    Column("ends_at", Instant),
    Column("gone_at", Instant),
    Column("deleted_at", Instant),
    Column("response_required", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("source", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Index(None, "gone_at"),
    Index(None, "market_context", "dtstart"),
)

# What each VEN was told of each version of an event, and what it said.  ``wants`` is what is still open:
# "answer", "delivery" (to be sent twice, no answer is due) or "nothing".  A line is ``withdrawn`` where the
# event no longer concerns the VEN: it is shown as cancelled, or, ``removed``, not at all (the implied cancel).
# ``deadline`` is when an answer is due, if the event says so itself (else a setting counts from ``queued_at``), or
# when a line that is withheld is looked at again; ``unanswered_at`` is when the lack of an answer was noted.
# ``shown_until`` is the ``gone_at`` of the event (``FOREVER`` where it is open-ended), NULL once the version is no more
# the present one: so what a VEN is shown is found however much it was told in the past.
ledger = Table(
    "ledger",
    metadata,
    _ven_id(primary_key=True),
    Column("event_id", String, ForeignKey("events.event_id", ondelete="CASCADE"), primary_key=True),
    Column("modification_number", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("wants", String, nullable=False),
    Column("withdrawn", Boolean, nullable=False, default=False),
    Column("removed", Boolean, nullable=False, default=False, server_default=false()),
    Column("deadline", Instant),
    Column("shown_until", Instant),
    Column("unanswered_at", Instant),
    Column("queued_at", Instant, nullable=False),
    Column("offers", Integer, nullable=False, default=0),
    Column("deliveries", Integer, nullable=False, default=0),
    Column("first_offered", Instant),
    Column("last_offered", Instant),
    Column("answered_at", Instant),
    Column("opt_type", String),
    Column("response_code", String),
    Column("response_description", String),
    Index(None, "event_id", "modification_number"),
)
# What is open is little beside what is past.
Index("ix_ledger_open", ledger.c.ven_id, ledger.c.event_id, sqlite_where=ledger.c.wants != "nothing")

Index("ix_ledger_shown", ledger.c.ven_id, ledger.c.shown_until, sqlite_where=ledger.c.shown_until.is_not(None))

# The lines whose deadline is still to come, and those that are withheld until then.
Index(
    "ix_ledger_deadline",
    ledger.c.deadline,
    ledger.c.queued_at,
    sqlite_where=and_(ledger.c.wants == "answer", ledger.c.unanswered_at.is_(None)),
)
Index("ix_ledger_withheld", ledger.c.deadline, sqlite_where=ledger.c.state == "withheld")

# Every answer of a VEN to an event that said something new, in the order of their arrival.
answers = Table(
    "answers",
    metadata,
    Column("id", Integer, primary_key=True),
    _ven_id(),
    Column("event_id", String, ForeignKey("events.event_id", ondelete="CASCADE"), nullable=False),
    Column("modification_number", Integer, nullable=False),
    Column("opt_type", String, nullable=False),
    Column("response_code", String, nullable=False),
    Column("response_description", String),
    Column("received_at", Instant, nullable=False),
    Index(None, "ven_id", "event_id"),
)

# What the VTN wants to tell a VEN, but for events.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    _ven_id(),
    Column("epoch", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("reference", String),
    Column("document", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("offers", Integer, nullable=False, default=0),
    Column("queued_at", Instant, nullable=False),
    Column("last_offered", Instant),
    Column("closed_at", Instant),
    Column("response_code", String),
    Column("response_description", String),
    Index(None, "ven_id", "state"),
    Index(None, "ven_id", "request_id"),
)

# What a VEN said it can report: each oadrRegisterReport is a version that never changes.
capabilities = Table(
    "capabilities",
    metadata,
    Column("id", Integer, primary_key=True),
    _ven_id(),
    Column("received_at", Instant, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index(None, "ven_id"),
)

# The data points of each version, for whoever looks for one; periods in seconds.
data_points = Table(
    "data_points",
    metadata,
    Column("capability_id", Integer, ForeignKey("capabilities.id", ondelete="CASCADE"), primary_key=True),
    Column("report_specifier_id", String, primary_key=True),
    Column("r_id", String, primary_key=True),
    Column("report_name", String),
    Column("report_type", String, nullable=False),
    Column("reading_type", String, nullable=False),
    Column("item_base", String),
    Column("unit", String),
    Column("scale", String),
    Column("market_context", String),
    Column("min_period", Float),
    Column("max_period", Float),
    Column("on_change", Boolean),
    Column("resource_ids", String, nullable=False),  # a JSON list
    sqlite_with_rowid=False,
)

# Which readings are wanted of every VEN that offers them, beside those of the configuration.
wishes = Table(
    "wishes",
    metadata,
    Column("wish_id", String, primary_key=True),
    Column("document", String, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# Which reports were asked of a VEN; ``wish_id`` is the standing wish that it comes from, ``fills`` the request
# whose gap it is to fill.  Periods in seconds; ``gaps_until`` is up to when gaps have been looked for, ``look_at``
# when to look again (NULL: never).
report_requests = Table(
    "report_requests",
    metadata,
    Column("report_request_id", String, primary_key=True),
    _ven_id(),
    Column("capability_id", Integer, ForeignKey("capabilities.id", ondelete="SET NULL")),
    Column("report_specifier_id", String, nullable=False),
    Column("report_name", String),
    Column("one_shot", Boolean, nullable=False),
    Column("wish_id", String),
    Column("fills", String),
    Column("granularity", Float, nullable=False, server_default="0"),
    Column("report_back", Float, nullable=False, server_default="0"),
    Column("starts_at", Instant),
    Column("ends_at", Instant),
    Column("gaps_until", Instant),
    Column("look_at", Instant),
    Column("document", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("response_code", String),
    Column("response_description", String),
    Index(None, "ven_id", "state"),
    Index(None, "look_at"),
    Index(None, "fills"),
    Index(None, "capability_id"),
)

# The data.  ``value`` is NULL for a missing one (NaN, INF) and for a ``payload`` that is no number:
# JSON of a resource's status, or the XML of a Green Button feed.
readings = Table(
    "readings",
    metadata,
    _ven_id(primary_key=True),
    Column("report_request_id", String, primary_key=True),
    Column("r_id", String, primary_key=True),
    Column("start", Instant, primary_key=True),
    Column("seconds", Float),
    Column("value", Float),
    Column("payload", String),
    Column("data_quality", String),
    Column("confidence", Integer),
    Column("accuracy", Float),
    Column("received_at", Instant, nullable=False),
    Column("previous_value", Float),
    Column("previous_payload", String),
    Column("previous_received_at", Instant),
    Index(None, "ven_id", "start"),
    sqlite_with_rowid=False,
)

# The present state of each resource, from the newest TELEMETRY_STATUS reading of its data point.
resource_states = Table(
    "resource_states",
    metadata,
    _ven_id(primary_key=True),
    Column("r_id", String, primary_key=True),
    Column("report_request_id", String, nullable=False),
    Column("start", Instant, nullable=False),
    Column("online", Boolean, nullable=False),
    Column("manual_override", Boolean, nullable=False),
    Column("load_control_state", String),  # JSON
    Column("received_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

# The reports of this VTN that VENs asked for, under the VEN's ID; the next one is due at ``next_at``.
provided = Table(
    "provided",
    metadata,
    _ven_id(primary_key=True),
    Column("report_request_id", String, primary_key=True),
    Column("report_specifier_id", String, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("since", Instant, nullable=False),
    Column("next_at", Instant),
    Column("ends_at", Instant),
    Index(None, "next_at"),
)

# Opts that a VEN made by oadrCreateOpt: a schedule, or a word on one event.
opts = Table(
    "opts",
    metadata,
    Column("id", Integer, primary_key=True),
    _ven_id(),
    Column("opt_id", String, nullable=False),
    Column("event_id", String, ForeignKey("events.event_id", ondelete="CASCADE")),
    Column("opt_type", String, nullable=False),
    Column("whole_ven", Boolean, nullable=False),
    Column("opt_reason", String),
    Column("market_context", String),
    Column("document", LargeBinary, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("cancelled_at", Instant),
    UniqueConstraint("ven_id", "opt_id"),
    Index(None, "ven_id", "event_id"),
)

# The periods of a schedule; ``ends_at`` is NULL for one that is open-ended.
opt_periods = Table(
    "opt_periods",
    metadata,
    Column("opt", Integer, ForeignKey("opts.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant),
    Index(None, "starts_at"),
    sqlite_with_rowid=False,
)

# What was answered to operators' requests that came with a key, so that one that comes again is not done again.
kept_answers = Table(
    "kept_answers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("asked", LargeBinary(32), nullable=False),
    Column("answer", String, nullable=False),  # JSON
    Column("kept_at", Instant, nullable=False),
    Index(None, "kept_at"),
)

# The tokens of the API.  What one is, is not kept, only the SHA-256 of it; one that was revoked stays for its name,
# which the audit log uses.
tokens = Table(
    "tokens",
    metadata,
    Column("token_id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("scope", String, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", String, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

# What operators did, a row after the other: triggers refuse all else.  ``hash`` covers the row and the hash before it.
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("address", String, nullable=False),
    Column("action", String, nullable=False),
    Column("object", String, nullable=False),
    Column("asked", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("left_out", Integer, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index(None, "who"),
    Index(None, "object"),
)

# What is known of the whole: whether the last process left the database in order, which offers VENs were told of,
# how far they are told of what has changed for all, since when nonces are known.
house = Table("house", metadata, Column("key", String, primary_key=True), Column("value", String, nullable=False))
