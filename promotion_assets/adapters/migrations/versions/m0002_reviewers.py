"""Reviewers' tokens and sessions, what they opened and when, and what may be used only once."""

from alembic import op

revision = "0002"
down_revision = "0001"

# Times are ISO 8601 in UTC, so that they compare as text in either database.
_TABLES = (
    """
    CREATE TABLE reviewer_tokens (
        token_id TEXT PRIMARY KEY,
        reviewer TEXT NOT NULL,
        hash TEXT NOT NULL,
        issued_at TEXT NOT NULL,
        revoked_at TEXT
    )
    """,
    """
    CREATE TABLE reviewer_sessions (
        session_hash TEXT PRIMARY KEY,
        token_id TEXT NOT NULL,
        reviewer TEXT NOT NULL,
        expires_at TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE reviewer_attempts (
        source TEXT NOT NULL,
        at TEXT NOT NULL
    )
    """,
    "CREATE INDEX reviewer_attempts_by_source ON reviewer_attempts (source, at)",
    """
    CREATE TABLE review_openings (
        request_id TEXT NOT NULL,
        reviewer TEXT NOT NULL,
        part TEXT NOT NULL,
        opened_at TEXT NOT NULL,
        PRIMARY KEY (request_id, reviewer, part)
    )
    """,
    """
    CREATE TABLE review_once (
        name TEXT PRIMARY KEY,
        content TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        used_at TEXT
    )
    """,
)
_NAMES = "reviewer_tokens, reviewer_sessions, reviewer_attempts, review_openings, review_once"
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
    for statement in _TABLES:
        connection.exec_driver_sql(statement)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_GRANT)
