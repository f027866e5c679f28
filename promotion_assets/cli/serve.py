"""``promotion serve``: answer requests by the traffic plan in the ledger."""

from __future__ import annotations

import click

from promotion_assets.cli.completing import MODEL
from promotion_assets.cli.groups import Command
from promotion_assets.cli.root import workspace


@click.command("serve", cls=Command)
@click.argument("model", type=MODEL)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0 takes a free one.",
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes."
)
@click.option(
    "--poll",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.05, 60),
    help="Seconds between two looks at the plan.",
)
@click.pass_context
def command(
    ctx: click.Context, model: str, host: str, port: int, workers: int, poll: float
) -> None:
    """Answer requests to MODEL by the traffic plan that the ledger attests.

    Speaks MLflow's /invocations and the Open Inference Protocol V2. Versions are loaded by number
    and verified by digest; a plan that cannot be verified is not followed. The ledger's public
    key is all that it needs: keys/ledger.pub below PROMOTION_HOME, or PROMOTION_TRUSTED_KEYS.

    \b
    promotion serve credit-risk
    promotion serve credit-risk --host 0.0.0.0 --port 8080 --workers 4
    curl -H 'X-Promotion-Unit: customer-7' -H 'Content-Type: application/json' \\
         -d @rows.json http://127.0.0.1:8080/invocations

    Exit codes: 0 stopped by a signal; 1 the plan or a version is not what was attested; 2 wrong
    use; 3 the ledger, the registry or the address to listen at cannot be reached.
    """
    from promotion_assets.pipeline.serve_process import serve

    code = serve(
        workspace(ctx),
        model,
        host=host,
        port=port,
        workers=workers,
        poll_seconds=poll,
        began=lambda address: click.echo(f"{model} at {address} (Ctrl-C ends it)", err=True),
    )
    ctx.exit(code)
