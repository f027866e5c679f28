from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from promotion_assets.adapters.ledger_store import DatabaseLedger, open_ledger
from promotion_assets.errors import Conflict, IntegrityError, LedgerUnreachable, UsageError
from promotion_assets_tests.fakes import Clock
from promotion_assets_tests.ledgers import MODEL, SIGNER, evaluated, new_ledger


def test_what_was_appended_is_read_back_in_order(ledger: DatabaseLedger, clock: Clock) -> None:
    """Events come back equal, numbered in the ledger and within their model."""
    first = evaluated("2", clock)
    other = evaluated("1", clock, model="churn")
    ledger.append([first])
    ledger.append([other])
    clock.advance(hours=-5)
    ledger.append([evaluated("3", clock)])
    assert [(r.sequence, r.model_sequence, r.event.model) for r in ledger.events()] == [
        (1, 1, MODEL),
        (2, 1, "churn"),
        (3, 2, MODEL),
    ]
    assert [r.event for r in ledger.events("churn")] == [other]
    assert next(ledger.events()).event == first
    assert ledger.models() == ("churn", MODEL)
    assert ledger.head().size == 3


def test_each_entry_is_a_signed_statement_that_names_the_one_before(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """The subject is the version by digest, and the chain is inside the signature."""
    ledger.append([evaluated("2", clock), evaluated("3", clock)])
    first, second = ledger.entries()
    import base64

    outer = json.loads(second.envelope)
    statement = json.loads(base64.b64decode(outer["payload"]))
    assert outer["payloadType"] == "application/vnd.in-toto+json"
    assert outer["signatures"][0]["keyid"] == SIGNER.public_key.keyid
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0]["name"] == f"{MODEL}/3"
    assert statement["predicate"]["previous"] == first.hash == second.previous


def test_a_stale_writer_is_told_and_writes_nothing(ledger: DatabaseLedger, clock: Clock) -> None:
    """Compare-and-set is on the model's own sequence; another model does not disturb it."""
    ledger.append([evaluated("2", clock)], expect_sequence=0)
    ledger.append([evaluated("1", clock, model="churn")], expect_sequence=0)
    with pytest.raises(Conflict, match="has 1 entries and the writer had seen 0"):
        ledger.append([evaluated("3", clock)], expect_sequence=0)
    ledger.append([evaluated("3", clock)], expect_sequence=1)
    assert ledger.head().size == 3


def test_a_transaction_is_of_one_model(ledger: DatabaseLedger, clock: Clock) -> None:
    """Events of two models do not go into one compare-and-set."""
    with pytest.raises(UsageError, match="2 models"):
        ledger.append([evaluated("2", clock), evaluated("2", clock, model="churn")])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET kind = 'X' WHERE seq = 2",
        "UPDATE OR REPLACE ledger_entries SET seq = 1 WHERE seq = 2",
        "DELETE FROM ledger_entries WHERE seq = 3",
        "INSERT OR REPLACE INTO ledger_entries SELECT 2, model, model_seq, kind, previous, hash, "
        "'{}' FROM ledger_entries WHERE seq = 2",
        "INSERT INTO ledger_entries SELECT seq, model, model_seq, kind, previous, hash, '{}' "
        "FROM ledger_entries WHERE seq = 2 ON CONFLICT (seq) DO UPDATE SET envelope = 'x'",
        "INSERT INTO ledger_entries SELECT 9, model, 4, kind, hash, hash, envelope "
        "FROM ledger_entries WHERE seq = 3",
        "INSERT INTO ledger_entries SELECT 4, model, 9, kind, hash, hash, envelope "
        "FROM ledger_entries WHERE seq = 3",
        "INSERT INTO ledger_entries SELECT 4, model, 4, kind, previous, hash, envelope "
        "FROM ledger_entries WHERE seq = 3",
        "INSERT INTO ledger_entries (model, model_seq, kind, previous, hash, envelope) "
        "SELECT model, 4, kind, hash, hash, envelope FROM ledger_entries WHERE seq = 3",
    ],
)
def test_sqlite_takes_nothing_but_the_next_entry(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path, statement: str
) -> None:
    """A client with nothing but the file cannot change, remove or slip in a row by SQL."""
    ledger.append([evaluated(v, clock) for v in "123"])
    rows = "SELECT * FROM ledger_entries ORDER BY seq"
    with sqlite3.connect(tmp_path / "ledger.db") as plain:
        before = plain.execute(rows).fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            plain.execute(statement)
        assert plain.execute(rows).fetchall() == before
    plain.close()


def test_commits_are_synced_to_the_disk(ledger: DatabaseLedger) -> None:
    """What was recorded survives a power cut: WAL with every commit synced."""
    with ledger.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_locked_database_is_reported_and_nothing_is_recorded(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """Another process that holds the database is named as such."""
    ledger.append([evaluated("1", clock)])
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnreachable, match=r"locked.*try again"):
        ledger.append([evaluated("2", clock)])
    other.execute("ROLLBACK")
    other.close()
    ledger.append([evaluated("2", clock)])
    assert ledger.head().size == 2


def test_a_full_disk_is_reported_and_nothing_is_recorded(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """A write that does not fit leaves the ledger as it was, and fits once there is room."""
    ledger.append([evaluated("1", clock)])
    with ledger.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    big = evaluated("2", clock, decision={"text": "x" * 100_000})
    with pytest.raises(LedgerUnreachable, match=r"full.*free disk space"):
        ledger.append([big])
    assert ledger.head().size == 1
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    ledger.append([big], expect_sequence=1)


def test_a_read_only_database_is_reported(ledger: DatabaseLedger, clock: Clock) -> None:
    """A database that takes no writes is a part that cannot be reached, not a lost event."""
    ledger.append([evaluated("1", clock)])
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(LedgerUnreachable, match="writable for this user"):
        ledger.append([evaluated("2", clock)])


def test_a_file_that_is_no_database_is_reported(tmp_path: Path, clock: Clock) -> None:
    """Rubbish where the ledger should be is one sentence, not a traceback."""
    (tmp_path / "ledger.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerUnreachable, match="not a database"):
        new_ledger(tmp_path, clock)


@pytest.mark.parametrize("url", ["mysql://host/db", "nonsense", "sqlite+nothing:///x"])
def test_an_unsupported_url_is_wrong_use(url: str, clock: Clock) -> None:
    """The message says which URLs there are."""
    with pytest.raises(UsageError, match="sqlite:///path"):
        open_ledger(url, SIGNER, clock)


def test_a_password_in_the_url_is_never_shown(clock: Clock) -> None:
    """Messages carry the URL without its password."""
    with pytest.raises(LedgerUnreachable) as caught:
        open_ledger("postgresql://u:topsecret@127.0.0.1:1/db", SIGNER, clock)
    assert "topsecret" not in str(caught.value)


def test_a_row_forged_past_the_triggers_is_not_believed(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """A state is folded from verified entries: one signed by another key opens no stage."""
    ledger.append([evaluated("1", clock)])
    stranger = open_ledger(
        f"sqlite:///{tmp_path}/ledger.db", CryptoSigner(Ed25519PrivateKey.generate()), clock
    )
    with pytest.raises(IntegrityError, match="does not trust"):
        stranger.append([evaluated("2", clock)])
    stranger.keys[SIGNER.public_key.keyid] = SIGNER.public_key
    stranger.append([evaluated("2", clock)])
    with pytest.raises(IntegrityError, match=r"entry 2 .*does not trust"):
        ledger.state(MODEL)


def test_an_entry_moved_to_another_place_is_not_believed(
    ledger: DatabaseLedger, clock: Clock, tmp_path: Path
) -> None:
    """A genuine entry under another number is refused when the state is read."""
    ledger.append([evaluated(v, clock) for v in "12"])
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_entries_no_update"))
        connection.execute(
            sa.text(
                "UPDATE ledger_entries SET envelope = "
                "(SELECT envelope FROM ledger_entries WHERE seq = 1) WHERE seq = 2"
            )
        )
    with pytest.raises(IntegrityError, match=r"entry 2 .*another place"):
        new_ledger(tmp_path, clock).state(MODEL)


def test_a_history_that_became_shorter_is_not_believed(
    ledger: DatabaseLedger, clock: Clock
) -> None:
    """A running process notices when entries that it has read are gone."""
    ledger.append([evaluated(v, clock) for v in "12"])
    ledger.state(MODEL)
    with ledger.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_entries_no_delete"))
        connection.execute(sa.text("DELETE FROM ledger_entries WHERE seq = 2"))
    with pytest.raises(IntegrityError, match="had 2 entries of it and now has 1"):
        ledger.state(MODEL)


def test_names_of_any_script_and_length_are_kept(ledger: DatabaseLedger, clock: Clock) -> None:
    """Unicode and very long model names go in and come back unchanged."""
    for name in ("кредит-риск 🏦", "m" * 5000, "it's; DROP TABLE ledger_entries --"):
        ledger.append([evaluated("1", clock, model=name)])
        assert ledger.state(name).decisions["1"].model == name
    assert ledger.head().size == 3
