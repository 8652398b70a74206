"""The tokens of the API and the audit log."""

import sqlalchemy as sa
from alembic import op

from oadrvtn.storage.tables import Instant

revision = "0005"
down_revision = "0004"

# The first one also stands against INSERT OR REPLACE, for which a row goes without a DELETE.
_APPENDED = (
    ("inserted", "INSERT", "WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM audit)"),
    ("updated", "UPDATE", ""),
    ("deleted", "DELETE", ""),
)


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_tokens_name")),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object", sa.String(), nullable=False),
        sa.Column("asked", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_who"), ["who"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_object"), ["object"], unique=False)
    for name, statement, when in _APPENDED:
        op.execute(
            f"CREATE TRIGGER audit_is_not_{name} BEFORE {statement} ON audit {when} "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END"
        )
