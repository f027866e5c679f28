"""The ``promotion`` command: tables for people, ``--json`` for programs.

Exit codes: 0 done; 1 a refusal or a failed check; 2 wrong use; 3 a part is unreachable (MLflow,
database, disk) and nothing changed.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and leave with its exit code."""
    # Everything that a child or a library reads at import must be off before the first import.
    from promotion_assets.quiet import silence_telemetry

    silence_telemetry()

    import click

    from promotion_assets.cli.root import root
    from promotion_assets.cli.speaking import say_error
    from promotion_assets.errors import PromotionError

    try:
        # Outside of its standalone mode click hands a command's exit code back.
        code = root.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.Abort:
        click.echo("stopped; nothing half done is left behind", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except PromotionError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
