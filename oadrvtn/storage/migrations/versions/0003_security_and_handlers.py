"""What a VEN's signatures are to be, which messages were signed of late; answers that operators may get again."""

import sqlalchemy as sa
from alembic import op

from oadrvtn.storage.tables import Instant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "nonces",
        sa.Column("signer", sa.LargeBinary(length=32), nullable=False),
        sa.Column("timestamp", Instant(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("signer", "timestamp", "nonce", name=op.f("pk_nonces")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("nonces", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_nonces_timestamp"), ["timestamp"], unique=False)

    with op.batch_alter_table("vens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("signatures", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("signing_fingerprint", sa.LargeBinary(length=32), nullable=True))

    with op.batch_alter_table("report_requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_report_requests_capability_id"), ["capability_id"], unique=False)

    op.create_table(
        "kept_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("asked", sa.LargeBinary(length=32), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("kept_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kept_answers")),
        sa.UniqueConstraint("key", name=op.f("uq_kept_answers_key")),
    )
    with op.batch_alter_table("kept_answers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_kept_answers_kept_at"), ["kept_at"], unique=False)
