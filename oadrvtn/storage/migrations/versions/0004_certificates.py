"""When a VEN's certificates end, and which VENs are suspended."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass
