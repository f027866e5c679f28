"""Who is asking: the person at the keyboard unless somebody is named."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import Any

import click


def current_user() -> str:
    """Return the login name, also where the system knows no name for the user id."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def actor_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--actor`` to a command."""
    return click.option(
        "--actor",
        default=current_user,
        show_default="your login name",
        help="Who is asking, for the record.",
    )(function)
