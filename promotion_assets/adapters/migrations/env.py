"""Alembic's environment: the connection, its transaction and its lock are the caller's."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="promotion_schema",
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
