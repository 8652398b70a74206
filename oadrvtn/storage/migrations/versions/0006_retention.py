"""How many readings there are: counted once here, and from now on where they come and go."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("INSERT INTO house (key, value) SELECT 'readings', CAST(count(*) AS TEXT) FROM readings")
