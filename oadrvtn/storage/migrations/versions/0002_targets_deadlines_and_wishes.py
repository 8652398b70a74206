"""Targets, deadlines, wishes and reports of our own."""

import sqlalchemy as sa
from alembic import op

from oadrvtn.storage.tables import Instant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "groups",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
    )
    op.create_table(
        "wishes",
        sa.Column("wish_id", sa.String(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("wish_id", name=op.f("pk_wishes")),
    )
    op.create_table(
        "provided",
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("report_request_id", sa.String(), nullable=False),
        sa.Column("report_specifier_id", sa.String(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("next_at", Instant(), nullable=True),
        sa.Column("ends_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.ven_id"], name=op.f("fk_provided_ven_id_vens"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ven_id", "report_request_id", name=op.f("pk_provided")),
    )
    with op.batch_alter_table("provided", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_provided_next_at"), ["next_at"], unique=False)

    op.create_table(
        "resource_states",
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("r_id", sa.String(), nullable=False),
        sa.Column("report_request_id", sa.String(), nullable=False),
        sa.Column("start", Instant(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("manual_override", sa.Boolean(), nullable=False),
        sa.Column("load_control_state", sa.String(), nullable=True),
        sa.Column("received_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ven_id"], ["vens.ven_id"], name=op.f("fk_resource_states_ven_id_vens"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ven_id", "r_id", name=op.f("pk_resource_states")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "traits",
        sa.Column("ven_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["ven_id"], ["vens.ven_id"], name=op.f("fk_traits_ven_id_vens"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ven_id", "kind", "value", "source", name=op.f("pk_traits")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("traits", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_traits_kind_value"), ["kind", "value"], unique=False)

    op.create_table(
        "data_points",
        sa.Column("capability_id", sa.Integer(), nullable=False),
        sa.Column("report_specifier_id", sa.String(), nullable=False),
        sa.Column("r_id", sa.String(), nullable=False),
        sa.Column("report_name", sa.String(), nullable=True),
        sa.Column("report_type", sa.String(), nullable=False),
        sa.Column("reading_type", sa.String(), nullable=False),
        sa.Column("item_base", sa.String(), nullable=True),
        sa.Column("unit", sa.String(), nullable=True),
        sa.Column("scale", sa.String(), nullable=True),
        sa.Column("market_context", sa.String(), nullable=True),
        sa.Column("min_period", sa.Float(), nullable=True),
        sa.Column("max_period", sa.Float(), nullable=True),
        sa.Column("on_change", sa.Boolean(), nullable=True),
        sa.Column("resource_ids", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["capability_id"],
            ["capabilities.id"],
            name=op.f("fk_data_points_capability_id_capabilities"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("capability_id", "report_specifier_id", "r_id", name=op.f("pk_data_points")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "opt_periods",
        sa.Column("opt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["opt"], ["opts.id"], name=op.f("fk_opt_periods_opt_opts"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("opt", "number", name=op.f("pk_opt_periods")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("opt_periods", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_opt_periods_starts_at"), ["starts_at"], unique=False)

    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ends_at", Instant(), nullable=True))
        batch_op.add_column(sa.Column("deleted_at", Instant(), nullable=True))
        batch_op.create_index(
            batch_op.f("ix_events_market_context_dtstart"), ["market_context", "dtstart"], unique=False
        )
    op.execute("UPDATE events SET ends_at = gone_at")  # with tolerance and recovery: later by little, until modified

    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.add_column(sa.Column("removed", sa.Boolean(), server_default=sa.text("0"), nullable=False))
        batch_op.add_column(sa.Column("deadline", Instant(), nullable=True))
        batch_op.add_column(sa.Column("unanswered_at", Instant(), nullable=True))
        batch_op.create_index(
            "ix_ledger_deadline",
            ["deadline", "queued_at"],
            unique=False,
            sqlite_where=sa.text("wants = 'answer' AND unanswered_at IS NULL"),
        )
        batch_op.create_index(
            "ix_ledger_withheld", ["deadline"], unique=False, sqlite_where=sa.text("state = 'withheld'")
        )

    with op.batch_alter_table("opts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("opt_reason", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("market_context", sa.String(), nullable=True))

    with op.batch_alter_table("report_requests", schema=None) as batch_op:
        batch_op.add_column(sa.Column("wish_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("fills", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("granularity", sa.Float(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("report_back", sa.Float(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("starts_at", Instant(), nullable=True))
        batch_op.add_column(sa.Column("ends_at", Instant(), nullable=True))
        batch_op.add_column(sa.Column("gaps_until", Instant(), nullable=True))
        batch_op.add_column(sa.Column("look_at", Instant(), nullable=True))
        batch_op.create_index(batch_op.f("ix_report_requests_look_at"), ["look_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_report_requests_fills"), ["fills"], unique=False)

    with op.batch_alter_table("vens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("wanted_poll_frequency", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("leniency", sa.String(), nullable=True))
