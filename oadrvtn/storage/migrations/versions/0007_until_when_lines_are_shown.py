"""Until when each line of the ledger is shown, so that what is past is not looked at again."""

import sqlalchemy as sa
from alembic import op

from oadrvtn.storage.tables import Instant

revision = "0007"
down_revision = "0006"

_FOREVER = 253402300799999999


def upgrade() -> None:
    with op.batch_alter_table("ledger", schema=None) as batch_op:
        batch_op.add_column(sa.Column("shown_until", Instant(), nullable=True))
        batch_op.drop_index("ix_ledger_event_id")
        batch_op.create_index("ix_ledger_event_id_modification_number", ["event_id", "modification_number"])
        batch_op.create_index(
            "ix_ledger_shown",
            ["ven_id", "shown_until"],
            sqlite_where=sa.text("shown_until IS NOT NULL"),
        )
    op.execute(
        "UPDATE ledger SET shown_until = (SELECT coalesce(events.gone_at, "
        f"{_FOREVER}) FROM events WHERE events.event_id = ledger.event_id "
        "AND events.modification_number = ledger.modification_number)"
    )
