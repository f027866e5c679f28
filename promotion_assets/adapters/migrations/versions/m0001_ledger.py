"""The ledger's table, and what keeps it append-only."""

from alembic import op

revision = "0001"
down_revision = None

_TABLE = """
CREATE TABLE ledger_entries (
    seq {integer} PRIMARY KEY,
    model TEXT NOT NULL,
    model_seq {integer} NOT NULL,
    kind TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    envelope TEXT NOT NULL
)
"""

# No second UNIQUE column: INSERT OR REPLACE would overwrite the row that holds its value.
_INDEX = "CREATE INDEX ledger_entries_by_model ON ledger_entries (model, model_seq)"

_SQLITE = (
    """
    CREATE TRIGGER ledger_entries_no_update BEFORE UPDATE ON ledger_entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no UPDATE'); END
    """,
    """
    CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: no DELETE'); END
    """,
    """
    CREATE TRIGGER ledger_entries_next_only BEFORE INSERT ON ledger_entries
    WHEN NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM ledger_entries)
      OR NEW.model_seq IS NOT (
        SELECT COALESCE(MAX(model_seq), 0) + 1 FROM ledger_entries WHERE model = NEW.model)
      OR NEW.previous IS NOT COALESCE(
        (SELECT hash FROM ledger_entries ORDER BY seq DESC LIMIT 1),
        '0000000000000000000000000000000000000000000000000000000000000000')
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: not the next entry'); END
    """,
)

_POSTGRES = (
    """
    CREATE FUNCTION promotion_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION USING MESSAGE = 'the ledger is append-only: no ' || TG_OP;
    END $$
    """,
    """
    CREATE FUNCTION promotion_ledger_next() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE last_seq bigint; last_hash text; last_model_seq bigint;
    BEGIN
        SELECT seq, hash INTO last_seq, last_hash FROM ledger_entries ORDER BY seq DESC LIMIT 1;
        SELECT COALESCE(MAX(model_seq), 0) INTO last_model_seq
            FROM ledger_entries WHERE model = NEW.model;
        IF NEW.seq IS DISTINCT FROM COALESCE(last_seq, 0) + 1
            OR NEW.model_seq IS DISTINCT FROM last_model_seq + 1
            OR NEW.previous IS DISTINCT FROM COALESCE(last_hash, repeat('0', 64)) THEN
            RAISE EXCEPTION 'the ledger is append-only: not the next entry';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER ledger_entries_no_change BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION promotion_ledger_refuse()
    """,
    """
    CREATE TRIGGER ledger_entries_no_truncate BEFORE TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION promotion_ledger_refuse()
    """,
    """
    CREATE TRIGGER ledger_entries_next_only BEFORE INSERT ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION promotion_ledger_next()
    """,
    # ALWAYS: session_replication_role = replica would otherwise switch them off.
    "ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_no_change",
    "ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_no_truncate",
    "ALTER TABLE ledger_entries ENABLE ALWAYS TRIGGER ledger_entries_next_only",
    """
    CREATE FUNCTION promotion_ledger_lock() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
        SELECT pg_advisory_xact_lock(123593486001011)
    $$
    """,
    # The hash is computed here, so that no caller can store another one than the envelope's.
    """
    CREATE FUNCTION promotion_ledger_append(
        p_seq bigint, p_model text, p_model_seq bigint, p_kind text, p_previous text,
        p_envelope text
    ) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DECLARE computed text := encode(
        sha256('\\x00'::bytea || convert_to(p_envelope, 'UTF8')), 'hex');
    BEGIN
        PERFORM pg_advisory_xact_lock(123593486001011);
        INSERT INTO ledger_entries (seq, model, model_seq, kind, previous, hash, envelope)
        VALUES (p_seq, p_model, p_model_seq, p_kind, p_previous, computed, p_envelope);
        RETURN computed;
    END $$
    """,
    "REVOKE ALL ON ledger_entries FROM PUBLIC",
    "REVOKE ALL ON FUNCTION promotion_ledger_lock() FROM PUBLIC",
    """
    REVOKE ALL ON FUNCTION promotion_ledger_append(bigint, text, bigint, text, text, text)
    FROM PUBLIC
    """,
    # The platform's own role owns nothing and may only read and append. Where the migrating
    # role may not create roles, an administrator creates it and grants the same three things.
    """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'promotion_writer') THEN
            CREATE ROLE promotion_writer NOLOGIN;
        END IF;
        GRANT SELECT ON ledger_entries, promotion_schema TO promotion_writer;
        GRANT EXECUTE ON FUNCTION promotion_ledger_lock() TO promotion_writer;
        GRANT EXECUTE ON FUNCTION
            promotion_ledger_append(bigint, text, bigint, text, text, text) TO promotion_writer;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'role promotion_writer was not created; see the operations guide';
    END $$
    """,
)


def upgrade() -> None:
    """Create the table with its guards."""
    postgres = op.get_bind().dialect.name == "postgresql"
    op.execute(_TABLE.format(integer="BIGINT" if postgres else "INTEGER"))
    op.execute(_INDEX)
    for statement in _POSTGRES if postgres else _SQLITE:
        # A colon before a word would be read as a bound parameter.
        op.get_bind().exec_driver_sql(statement)
