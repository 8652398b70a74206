"""What VENs' certificates say of themselves, which of them are revoked, and which VENs are suspended."""

import sqlalchemy as sa
from alembic import op

from oadrvtn.storage.tables import Instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "revoked",
        sa.Column("short", sa.LargeBinary(length=10), nullable=False),
        sa.Column("full", sa.LargeBinary(length=32), nullable=True),
        sa.Column("ven_id", sa.String(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("short", name=op.f("pk_revoked")),
    )
    with op.batch_alter_table("revoked", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_revoked_ven_id"), ["ven_id"], unique=False)

    with op.batch_alter_table("certificates", schema=None) as batch_op:
        batch_op.add_column(sa.Column("subject", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("issuer", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("serial", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("not_after", Instant(), nullable=True))
        batch_op.create_index(batch_op.f("ix_certificates_not_after"), ["not_after"], unique=False)

    with op.batch_alter_table("vens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("suspended_at", Instant(), nullable=True))
