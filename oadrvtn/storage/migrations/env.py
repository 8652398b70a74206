"""What alembic runs: the migrations, on the connection and within the transaction that the Database gives."""

from alembic import context

from oadrvtn.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
