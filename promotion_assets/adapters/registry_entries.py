"""What the registry says of its models at a glance: a cost that versions do not raise.

MLflow's search for registered models looks up each one's latest versions, and so takes longer the
more versions a model has (14 ms with 200, 54 ms with 2,000, for the newest model alone). Where
MLflow is a database that this process reaches, three columns of it are read instead. That is a
hint and no more: which versions there are is always asked of MLflow itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import sqlalchemy as sa
from mlflow.entities.model_registry import RegisteredModel
from mlflow.tracking import MlflowClient
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from promotion_assets.adapters.database import open_engine_to_read
from promotion_assets.errors import PromotionError

_DATABASES = ("sqlite:", "postgresql:", "postgresql+psycopg2:")
_MODELS = sa.text("SELECT name, creation_time, last_updated_time FROM registered_models")
_ALIASES = sa.text("SELECT name, alias, version FROM registered_model_aliases")
# Pages of a search, newest change first: mostly the first says that there is nothing new.
_FIRST_PAGE, _NEXT_PAGES = 1, 25


@dataclass(frozen=True)
class Entry:
    """One registered model's entry.

    Attributes:
        created, updated: milliseconds since 1970 by MLflow's clock. A model that was deleted and
            made again has another ``created``. A new version changes ``updated``; tags and
            aliases do not, and two changes in one millisecond look like one.
        aliases: version by alias.
    """

    model: str
    created: int
    updated: int
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def stamp(self) -> tuple[int, int]:
        """What is compared with what was seen before."""
        return (self.created, self.updated)


def entries_of(
    client: MlflowClient, uri: str, known: Mapping[str, tuple[int, int]], also: Collection[str]
) -> list[Entry]:
    """Return the entries of all models that may have changed; of more where that costs nothing.

    Args:
        known: each model's stamp as it was seen last.
        also: models whose entry is wanted whatever their stamp.

    Raises:
        mlflow.exceptions.MlflowException: MLflow does not answer.
    """
    if uri.startswith(_DATABASES):
        read = _read_database(uri)
        if read is not None:
            return read
    return list(_search(client, known, also))


def _read_database(uri: str) -> list[Entry] | None:
    """Return all entries, or ``None`` where the tables are not those that we know."""
    try:
        with _engine(uri).connect() as connection:
            rows = connection.execute(_MODELS).all()
            pointing = connection.execute(_ALIASES).all()
    except (SQLAlchemyError, PromotionError):
        # MLflow's own client is asked then; if the database is away it says so.
        return None
    aliases: dict[str, dict[str, str]] = {}
    for name, alias, version in pointing:
        aliases.setdefault(str(name), {})[str(alias)] = str(version)
    return [
        Entry(str(name), int(created or 0), int(updated or 0), aliases.get(str(name), {}))
        for name, created, updated in rows
    ]


@lru_cache(maxsize=4)
def _engine(uri: str) -> Engine:
    return open_engine_to_read(uri)


def _search(
    client: MlflowClient, known: Mapping[str, tuple[int, int]], also: Collection[str]
) -> Iterator[Entry]:
    found: set[str] = set()
    token: str | None = None
    size = _FIRST_PAGE
    while True:
        page = client.search_registered_models(
            max_results=size, order_by=["last_updated_timestamp DESC"], page_token=token
        )
        new = [entry for entry in map(_entry, page) if known.get(entry.model) != entry.stamp]
        found |= {entry.model for entry in new}
        yield from new
        token, size = page.token, _NEXT_PAGES
        # What lies behind an entry that is known was changed before it, but for clocks that
        # are not in order; the models of `also` take turns and find that.
        if len(new) < len(page) or not token:
            break
    for model in also:
        if model not in found:
            for entry in client.search_registered_models(f"name='{quoted(model)}'", max_results=1):
                yield _entry(entry)


def _entry(model: RegisteredModel) -> Entry:
    aliases = {str(alias): str(version) for alias, version in (model.aliases or {}).items()}
    return Entry(
        model.name,
        int(model.creation_timestamp or 0),
        int(model.last_updated_timestamp or 0),
        aliases,
    )


def quoted(name: str) -> str:
    """Return a name as it stands between quotes in a filter of MLflow's."""
    return name.replace("'", "\\'")
