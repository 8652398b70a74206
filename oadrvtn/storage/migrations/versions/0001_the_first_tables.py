"""The first tables."""

import sqlalchemy as sa
from alembic import op

from oadrvtn.storage.tables import Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "candidates",
        sa.Column("full", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("ven_id", sa.String(), nullable=True),
        sa.Column("ven_name", sa.String(), nullable=True),
        sa.Column("first_seen", Instant(), nullable=False),
        sa.Column("last_seen", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("full", name=op.f("pk_candidates")),
    )
    with op.batch_alter_table("candidates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_candidates_last_seen"), ["last_seen"], unique=False)

    op.create_table(
        "events",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("modification_number", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("for_everyone", sa.Boolean(), nullable=False),
        sa.Column("market_context", sa.String(), nullable=False),
        sa.Column("dtstart", Instant(), nullable=False),
        sa.Column("gone_at", Instant(), nullable=True),
        sa.Column("response_required", sa.String(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("modified_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_events_gone_at"), ["gone_at"], unique=False)

    op.create_table(
        "house",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_house")),
    )
    op.create_table(
        "vens",
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=True),
        sa.Column("registered_at", Instant(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("ven_name", sa.String(), nullable=True),
        sa.Column("profile_name", sa.String(), nullable=True),
        sa.Column("transport_name", sa.String(), nullable=True),
        sa.Column("report_only", sa.Boolean(), nullable=False),
        sa.Column("xml_signature", sa.Boolean(), nullable=False),
        sa.Column("poll_frequency", sa.Float(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("last_seen", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("ven_id", name=op.f("pk_vens")),
        sa.UniqueConstraint("registration_id", name=op.f("uq_vens_registration_id")),
    )
    with op.batch_alter_table("vens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_vens_online_last_seen"), ["online", "last_seen"], unique=False)

    op.create_table(
        "answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("modification_number", sa.Integer(), nullable=False),
        sa.Column("opt_type", sa.String(), nullable=False),
        sa.Column("response_code", sa.String(), nullable=False),
        sa.Column("response_description", sa.String(), nullable=True),
        sa.Column("received_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.event_id"], name=op.f("fk_answers_event_id_events"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.ven_id"], name=op.f("fk_answers_ven_id_vens"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answers")),
    )
    with op.batch_alter_table("answers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_answers_ven_id_event_id"), ["ven_id", "event_id"], unique=False)

    op.create_table(
        "bends",
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("bend", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.ven_id"], name=op.f("fk_bends_ven_id_vens"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ven_id", "bend", name=op.f("pk_bends")),
    )
    op.create_table(
        "capabilities",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ven_id"], ["vens.ven_id"], name=op.f("fk_capabilities_ven_id_vens"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capabilities")),
    )
    with op.batch_alter_table("capabilities", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_capabilities_ven_id"), ["ven_id"], unique=False)

    op.create_table(
        "certificates",
        sa.Column("short", sa.LargeBinary(length=10), nullable=False),
        sa.Column("full", sa.LargeBinary(length=32), nullable=True),
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("added_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ven_id"], ["vens.ven_id"], name=op.f("fk_certificates_ven_id_vens"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("short", name=op.f("pk_certificates")),
    )
    with op.batch_alter_table("certificates", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_certificates_ven_id"), ["ven_id"], unique=False)

    op.create_table(
        "ledger",
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("modification_number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("wants", sa.String(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("queued_at", Instant(), nullable=False),
        sa.Column("offers", sa.Integer(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("first_offered", Instant(), nullable=True),
        sa.Column("last_offered", Instant(), nullable=True),
        sa.Column("answered_at", Instant(), nullable=True),
        sa.Column("opt_type", sa.String(), nullable=True),
        sa.Column("response_code", sa.String(), nullable=True),
        sa.Column("response_description", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.event_id"], name=op.f("fk_ledger_event_id_events"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.ven_id"], name=op.f("fk_ledger_ven_id_vens"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ven_id", "event_id", "modification_number", name=op.f("pk_ledger")),
    )
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ledger_event_id"), ["event_id"], unique=False)
        batch_op.create_index(
            "ix_ledger_open", ["ven_id", "event_id"], unique=False, sqlite_where=sa.text("wants != 'nothing'")
        )

    op.create_table(
        "opts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("opt_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=True),
        sa.Column("opt_type", sa.String(), nullable=False),
        sa.Column("whole_ven", sa.Boolean(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("cancelled_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.event_id"], name=op.f("fk_opts_event_id_events"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.ven_id"], name=op.f("fk_opts_ven_id_vens"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opts")),
        sa.UniqueConstraint("ven_id", "opt_id", name=op.f("uq_opts_ven_id_opt_id")),
    )
    with op.batch_alter_table("opts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_opts_ven_id_event_id"), ["ven_id", "event_id"], unique=False)

    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("offers", sa.Integer(), nullable=False),
        sa.Column("queued_at", Instant(), nullable=False),
        sa.Column("last_offered", Instant(), nullable=True),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.Column("response_code", sa.String(), nullable=True),
        sa.Column("response_description", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.ven_id"], name=op.f("fk_outbox_ven_id_vens"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_ven_id_request_id"), ["ven_id", "request_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_outbox_ven_id_state"), ["ven_id", "state"], unique=False)

    op.create_table(
        "readings",
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("report_request_id", sa.String(), nullable=False),
        sa.Column("r_id", sa.String(), nullable=False),
        sa.Column("start", Instant(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("payload", sa.String(), nullable=True),
        sa.Column("data_quality", sa.String(), nullable=True),
        sa.Column("confidence", sa.Integer(), nullable=True),
        sa.Column("accuracy", sa.Float(), nullable=True),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("previous_value", sa.Float(), nullable=True),
        sa.Column("previous_payload", sa.String(), nullable=True),
        sa.Column("previous_received_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.ven_id"], name=op.f("fk_readings_ven_id_vens"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ven_id", "report_request_id", "r_id", "start", name=op.f("pk_readings")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("readings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_readings_ven_id_start"), ["ven_id", "start"], unique=False)

    op.create_table(
        "report_requests",
        sa.Column("report_request_id", sa.String(), nullable=False),
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("capability_id", sa.Integer(), nullable=True),
        sa.Column("report_specifier_id", sa.String(), nullable=False),
        sa.Column("report_name", sa.String(), nullable=True),
        sa.Column("one_shot", sa.Boolean(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("response_code", sa.String(), nullable=True),
        sa.Column("response_description", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["capability_id"],
            ["capabilities.id"],
            name=op.f("fk_report_requests_capability_id_capabilities"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["ven_id"], ["vens.ven_id"], name=op.f("fk_report_requests_ven_id_vens"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("report_request_id", name=op.f("pk_report_requests")),
    )
    with op.batch_alter_table("report_requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_report_requests_ven_id_state"), ["ven_id", "state"], unique=False)
