"""The outbox: outgoing events, their deliveries, who is told, and hints from the registry."""

from alembic import op

revision = "0003"
down_revision = "0002"

# Times are ISO 8601 in UTC, so that they compare as text in either database.
_TABLES = (
    # place is the entry's sequence times 16, plus which of the entry's events it is.
    """
    CREATE TABLE notification_events (
        place {integer} PRIMARY KEY,
        event_id TEXT NOT NULL,
        type TEXT NOT NULL,
        model TEXT NOT NULL,
        version TEXT NOT NULL,
        segment TEXT NOT NULL,
        at TEXT NOT NULL,
        data TEXT NOT NULL,
        shared_at TEXT
    )
    """,
    "CREATE UNIQUE INDEX notification_events_by_id ON notification_events (event_id)",
    """
    CREATE INDEX notification_events_unshared ON notification_events (place)
    WHERE shared_at IS NULL
    """,
    """
    CREATE TABLE notification_deliveries (
        subscription TEXT NOT NULL,
        place {integer} NOT NULL,
        model TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        attempted_at TEXT,
        next_at TEXT,
        settled_at TEXT,
        problem TEXT,
        PRIMARY KEY (subscription, place)
    )
    """,
    """
    CREATE INDEX notification_deliveries_pending
    ON notification_deliveries (subscription, model, place) WHERE state = 'pending'
    """,
    """
    CREATE INDEX notification_deliveries_by_state
    ON notification_deliveries (state, subscription)
    """,
    """
    CREATE TABLE notification_leases (
        subscription TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        since TEXT NOT NULL,
        until TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE notification_subscriptions (
        name TEXT PRIMARY KEY,
        content TEXT NOT NULL,
        added_by TEXT NOT NULL,
        added_at TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE notification_heard (
        name TEXT PRIMARY KEY,
        model TEXT NOT NULL,
        version TEXT NOT NULL,
        heard_at TEXT NOT NULL,
        taken_at TEXT
    )
    """,
)
_NAMES = (
    "notification_events, notification_deliveries, notification_leases, "
    "notification_subscriptions, notification_heard"
)
_GRANT = f"""
    DO $$ BEGIN
        REVOKE ALL ON {_NAMES} FROM PUBLIC;
        GRANT SELECT, INSERT, UPDATE, DELETE ON {_NAMES} TO promotion_writer;
    EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
        RAISE NOTICE 'role promotion_writer got no rights; see the operations guide';
    END $$
"""


def upgrade() -> None:
    """Create the tables."""
    connection = op.get_bind()
    postgres = connection.dialect.name == "postgresql"
    for statement in _TABLES:
        connection.exec_driver_sql(statement.format(integer="BIGINT" if postgres else "INTEGER"))
    if postgres:
        connection.exec_driver_sql(_GRANT)
