"""Alembic's entry. It works on the connection that `upgrade` hands over, inside that one's transaction."""

from alembic import context

from dcp.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
