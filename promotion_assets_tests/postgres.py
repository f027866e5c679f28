"""A PostgreSQL server of the tests' own, on a free port, gone when they end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from promotion_assets.demo.services import free_port
from promotion_assets_tests.parts import require


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
    """

    port: int

    def url(self, database: str, user: str = "postgres") -> str:
        """Return a URL for SQLAlchemy."""
        return f"postgresql+psycopg2://{user}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser, outside a transaction."""
        engine = sa.create_engine(self.url(database), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def new_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self.run(f'CREATE DATABASE "{name}"')
        return self.url(name)


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """Start a server and stop it at the end; skip the test where PostgreSQL is not installed."""
    bin_folder = require("postgresql").parent
    folder = Path(tempfile.mkdtemp(prefix="promotion-pg-"))
    data = folder / "data"
    as_user = _unprivileged(folder)
    port = free_port()
    settings = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", *options]
    control = [*as_user, str(bin_folder / "pg_ctl"), "-D", str(data)]
    try:
        _run(
            [
                *as_user,
                str(bin_folder / "initdb"),
                *("-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"),
            ]
        )
        _run([*control, "-w", "-l", str(folder / "log"), "-o", " ".join(settings), "start"])
        yield Server(port)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> Sequence[str]:
    """Give ``folder`` to a user that the server accepts: it refuses to run as root."""
    if os.geteuid() != 0:
        return ()
    shutil.chown(folder, "nobody", "nogroup")
    return ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")


def _run(command: Sequence[str]) -> None:
    # To a file: the server inherits a pipe and would hold it open.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(command, stdout=output, stderr=output, cwd="/", check=False)
        output.seek(0)
        assert done.returncode == 0, output.read().decode()
