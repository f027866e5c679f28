from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from promotion_assets.adapters.ledger_store import DatabaseLedger, open_entries, open_ledger
from promotion_assets.audit.verify import verify
from promotion_assets.errors import Conflict, LedgerUnreachable
from promotion_assets_tests.fakes import Clock, FakeRegistry
from promotion_assets_tests.ledgers import MODEL, SIGNER, adopted, evaluated, go_live
from promotion_assets_tests.postgres import Server, running

NAMES = count()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for this file."""
    with running("-F") as found:
        yield found


@pytest.fixture
def url(server: Server) -> str:
    """An empty database."""
    return server.new_database(f"ledger_{next(NAMES)}")


@pytest.fixture
def pg(url: str, clock: Clock) -> Iterator[DatabaseLedger]:
    """A ledger opened by the database's owner."""
    found = open_ledger(url, SIGNER, clock)
    yield found
    found.close()


@pytest.fixture
def writer(server: Server, pg: DatabaseLedger, url: str, clock: Clock) -> Iterator[DatabaseLedger]:
    """The same ledger opened by a role that owns nothing."""
    name = f"app_{next(NAMES)}"
    server.run(f"CREATE ROLE {name} LOGIN IN ROLE promotion_writer")
    found = open_ledger(server.url(url.rsplit("/", 1)[1], name), SIGNER, clock)
    yield found
    found.close()


def test_the_whole_way_is_the_same_as_on_sqlite(
    pg: DatabaseLedger, ledger: DatabaseLedger, clock: Clock
) -> None:
    """The same steps give the same entries, byte for byte, in both databases."""
    for each in (pg, ledger):
        registry = FakeRegistry()
        adopted(each, registry)
        go_live(each, registry, "2", clock)
        with pytest.raises(Conflict):
            each.append([evaluated("3", clock)], expect_sequence=1)
    assert list(pg.entries()) == list(ledger.entries())
    assert pg.state(MODEL) == ledger.state(MODEL)
    assert (pg.head(), pg.models()) == (ledger.head(), ledger.models())


def test_a_role_that_owns_nothing_can_append_and_read(
    writer: DatabaseLedger, url: str, clock: Clock
) -> None:
    """The platform's own role needs no more than that; verification needs only to read."""
    registry = FakeRegistry()
    adopted(writer, registry)
    go_live(writer, registry, "2", clock)
    stored = open_entries(url)
    assert verify(stored.entries(), [SIGNER.public_key]).valid
    stored.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET kind = 'X'",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "INSERT INTO ledger_entries SELECT seq + 1, model, model_seq + 1, kind, hash, hash, "
        "envelope FROM ledger_entries",
        "DROP TABLE ledger_entries",
        "ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
        "DROP TRIGGER ledger_entries_no_change ON ledger_entries",
        "SET session_replication_role = replica",
        "DROP FUNCTION promotion_ledger_next() CASCADE",
        "CREATE OR REPLACE FUNCTION promotion_ledger_next() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NEW; END'",
    ],
)
def test_a_role_that_owns_nothing_can_do_nothing_else(
    writer: DatabaseLedger, clock: Clock, statement: str
) -> None:
    """Neither the rows nor what guards them can be touched by the platform's own role."""
    writer.append([evaluated("1", clock)])
    before = list(writer.entries())
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        run(writer, statement)
    assert list(writer.entries()) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET kind = 'X'",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "INSERT INTO ledger_entries SELECT seq + 2, model, model_seq + 1, kind, hash, hash, "
        "envelope FROM ledger_entries",
        "INSERT INTO ledger_entries SELECT seq + 1, model, model_seq, kind, hash, hash, "
        "envelope FROM ledger_entries",
        "INSERT INTO ledger_entries SELECT seq + 1, model, model_seq + 1, kind, previous, hash, "
        "envelope FROM ledger_entries",
        "INSERT INTO ledger_entries SELECT * FROM ledger_entries "
        "ON CONFLICT (seq) DO UPDATE SET kind = 'X'",
        "SET LOCAL session_replication_role = replica; DELETE FROM ledger_entries",
        "SELECT promotion_ledger_append(1, 'm', 2, 'k', repeat('0', 64), '{}')",
    ],
)
def test_even_the_owner_is_stopped_by_the_triggers(
    pg: DatabaseLedger, clock: Clock, statement: str
) -> None:
    """Replication mode does not switch them off; whoever drops them is found by verification."""
    pg.append([evaluated("1", clock)])
    before = list(pg.entries())
    with pytest.raises(DBAPIError, match=r"append-only|duplicate key"):
        run(pg, statement)
    assert list(pg.entries()) == before


def test_the_hash_is_the_databases_own(pg: DatabaseLedger, clock: Clock) -> None:
    """Whoever calls the append function cannot store another hash than the envelope's."""
    pg.append([evaluated("1", clock)])
    run(
        pg,
        "SELECT promotion_ledger_append(2, 'm', 1, 'k', "
        f"'{pg.head().hash}', 'not an attestation at all')",
    )
    found = verify(pg.entries(), [SIGNER.public_key])
    assert [(p.kind, p.sequence) for p in found.problems] == [("unreadable", 2)]


def test_two_processes_may_open_a_fresh_database_at_once(url: str, clock: Clock) -> None:
    """The tables are made once, whoever comes first."""
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda _: open_ledger(url, SIGNER, clock), range(4)))
    opened[0].append([evaluated("1", clock)])
    assert {ledger.head().size for ledger in opened} == {1}
    for ledger in opened:
        ledger.close()


def test_a_server_that_went_away_is_reported(clock: Clock) -> None:
    """A database that stopped in mid-life is one sentence, and nothing was recorded."""
    with running("-F") as server:
        ledger = open_ledger(server.new_database("gone"), SIGNER, clock)
        ledger.append([evaluated("1", clock)])
    with pytest.raises(LedgerUnreachable, match="nothing was changed"):
        ledger.append([evaluated("2", clock)])
    ledger.close()


def run(ledger: DatabaseLedger, statement: str) -> None:
    """Run a statement as the ledger's role, in a transaction."""
    with ledger.engine.begin() as connection:
        connection.execute(sa.text(statement))
