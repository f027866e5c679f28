"""Whether a source may hold something else than before, without reading it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from promotion_assets.errors import PromotionError
from promotion_assets.pipeline.workspace import Workspace
from promotion_assets.policy.load import expand_uri

# What object stores and servers say of a file; whichever of them are there.
_SAYS = ("size", "ETag", "etag", "LastModified", "mtime", "md5Hash", "generation", "content_md5")


def source_stamp(workspace: Workspace, model: str) -> str:
    """Return a text that is another one when the model's dataset may have changed.

    Files by size and time, objects by what their store says of them. Where nothing can be told
    without reading, as of a query, the text changes every hour.
    """
    policy = workspace.policy_of(model)
    hour = workspace.clock().strftime("hour %Y-%m-%dT%H")
    if policy.dataset.query:
        return hour
    try:
        uri = expand_uri(policy.dataset.uri, workspace.environ)
    except PromotionError:
        return ""
    scheme = urlsplit(uri).scheme
    if scheme in ("", "file"):
        return _of_files(Path(policy.base) / (urlsplit(uri).path if scheme else uri))
    try:
        return _of_object(uri) or hour
    except Exception:
        # Any store may raise anything; the run that reads the source will say what it is.
        return hour


def _of_files(path: Path) -> str:
    try:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        stats = [(str(file), (s := file.stat()).st_size, s.st_mtime_ns, s.st_ino) for file in files]
    except OSError as error:
        return f"unreadable: {type(error).__name__}"
    return hashlib.sha256(repr(stats).encode()).hexdigest()


def _of_object(uri: str) -> str:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(uri)
    system.invalidate_cache()
    found: dict[str, Any] = system.info(path)
    said = {name: str(found[name]) for name in _SAYS if found.get(name) is not None}
    return hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest() if said else ""
