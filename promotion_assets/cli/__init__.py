"""The ``promotion`` command: tables for people, ``--json`` for programs.

Exit codes: 0 done; 1 a refusal or a failed check; 2 wrong use; 3 a part is unreachable (MLflow,
database, disk) and nothing changed; 130 stopped with Ctrl-C; 141 nobody reads the output any more.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

COMPLETE = "_PROMOTION_COMPLETE"
DEBUG = "PROMOTION_DEBUG"


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    if COMPLETE in os.environ:
        from promotion_assets.cli.completing import complete

        complete()
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        code = _left_alone()
    except KeyboardInterrupt:
        sys.stderr.write("stopped before anything was begun\n")
        code = 130
    sys.exit(code)


def _run() -> int:
    # Everything that a child or a library reads at import must be off before the first import.
    from promotion_assets.quiet import silence_telemetry

    silence_telemetry()

    import click

    from promotion_assets.cli.progress import Stopped
    from promotion_assets.cli.root import root
    from promotion_assets.cli.speaking import say_error, say_problem, speak_plainly_where_needed
    from promotion_assets.errors import PromotionError

    speak_plainly_where_needed(sys.stdout, sys.stderr)
    try:
        # What click's own main adds hides a reader that has left behind a refusal's exit code.
        with root.make_context("promotion", sys.argv[1:]) as context:
            root.invoke(context)
        return 0
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except Stopped as stopped:
        click.echo(stopped.said, err=True)
        return 130
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; nothing half done is left behind", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PromotionError as error:
        _trace()
        say_error(error)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:
        _trace()
        where = f" ({error.filename})" if error.filename else ""
        say_problem(
            _doing(),
            f"the disk or the network does not do its part: {error.strerror or error}{where}",
            "check that path, its permissions and the free space; then run the command again",
        )
        return 3
    except Exception as error:
        _trace()
        strange = next((word for word in sys.argv if not _is_text(word)), None)
        # What no record can hold is either no JSON or no UTF-8, and both are such errors.
        if strange is not None and isinstance(error, ValueError):
            say_problem(
                _doing(),
                f"{ascii(strange)[:80]} is not in UTF-8, and cannot be recorded",
                "set the terminal to UTF-8 (LC_ALL=C.UTF-8), and type it again",
            )
            return 2
        say_problem(
            _doing(),
            f"this is a defect of the platform: {type(error).__name__}: {error}",
            f"run it again with --debug (or {DEBUG}=1) and send the traceback to the maintainers; "
            "`promotion status` and `promotion audit verify` say what was recorded",
        )
        return 1


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _doing() -> str:
    # Values of options may be secrets, so only the words of the command are said.
    words = [word for word in sys.argv[1:3] if not word.startswith("-") and _is_text(word)]
    return f"running `promotion {' '.join(words)}`"


def _trace() -> None:
    if os.environ.get(DEBUG, "") not in ("", "0"):
        import traceback

        traceback.print_exc()


def _left_alone() -> int:
    # Python would flush once more at its end, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141
