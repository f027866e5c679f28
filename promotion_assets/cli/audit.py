"""``promotion audit``: verify, export and checkpoint the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from promotion_assets.cli.completing import MODEL, VERSION
from promotion_assets.cli.groups import Group, json_option
from promotion_assets.cli.progress import counted, long_work
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json


@click.group("audit", cls=Group)
def command() -> None:
    """Verify the ledger or an exported bundle, export bundles, publish checkpoints.

    \b
    promotion audit verify
    promotion audit export credit-risk 3 --out credit-risk-3.zip
    promotion audit verify credit-risk-3.zip --key ledger.pub
    """


@command.command("verify")
@click.argument("bundle", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A public key that you trust; may be given several times. Default: this installation's.",
)
@click.option("--database", help="The ledger's database URL. Default: this installation's.")
@click.option(
    "--checkpoints",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of checkpoints held elsewhere; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def verify(
    ctx: click.Context,
    bundle: Path | None,
    keys: tuple[Path, ...],
    database: str | None,
    checkpoints: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Find any changed, removed, reordered, forged or cut-off entry, and name it.

    Of BUNDLE, or of the ledger. Needs only the public key: nothing is written, and with --key
    and --database no policy is read. Exit code 1 if anything is wrong.

    \b
    promotion audit verify --json
    promotion audit verify --database sqlite:///ledger.db --key ledger.pub --checkpoints ../held
    promotion audit verify credit-risk-3.zip --key ledger.pub
    """
    from promotion_assets.adapters.keys import load_public

    trusted = [load_public(key) for key in keys]
    if bundle is not None:
        _verify_bundle(ctx, bundle, trusted, as_json)
        return
    from promotion_assets.adapters.ledger_store import open_entries
    from promotion_assets.audit.checkpoint import FilePlace
    from promotion_assets.audit.verify import verify as verify_entries

    places: list[Any] = [FilePlace(folder) for folder in checkpoints]
    if database is None or not trusted:
        opened = workspace(ctx)
        database = database or opened.database_url
        trusted = trusted or opened.trusted_keys
        places = places or [FilePlace(opened.home / "checkpoints"), *opened.named_places]
    with long_work("reading checkpoints", kept="verifying changes nothing") as tell:
        notes = [note for place in places for note in place.held()]
        tell("verifying entries")
        read = counted(open_entries(database).entries(), tell, _so_many)
        found = verify_entries(read, trusted, notes)
    if as_json:
        say_json(found.to_json())
    else:
        word = "as recorded" if found.valid else "NOT as recorded"
        click.echo(f"{found.entries} entries, {found.checkpoints} checkpoints: {word}")
        for problem in found.problems:
            where = f"entry {problem.sequence}" if problem.sequence else "checkpoints"
            click.echo(f"  {where}: {problem.kind}: {problem.what}")
        if not found.checkpoints:
            click.echo("  no checkpoint was given, so a tail that was cut off would go unseen")
    if not found.valid:
        ctx.exit(1)


def _so_many(entries: int) -> str:
    return f"verifying entries, {entries:,} done"


def _verify_bundle(ctx: click.Context, bundle: Path, trusted: list[Any], as_json: bool) -> None:
    from promotion_assets.audit.bundle_verify import verify_bundle

    with long_work(f"verifying {bundle.name}", kept="verifying changes nothing"):
        found = verify_bundle(bundle, trusted)
    if as_json:
        say_json(found.to_json())
    else:
        word = "is what was recorded" if found.valid else "is NOT what was recorded"
        click.echo(f"{bundle.name}: {found.entries} entries, {found.compared} numbers: {word}")
        for problem in found.problems:
            click.echo(f"  {problem}")
        if not found.trusted:
            click.echo(
                "  checked with the bundle's own key: it is whole, and who made it is not proven; "
                "give --key"
            )
    if not found.valid:
        ctx.exit(1)


@command.command("export")
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The archive to write. Default: MODEL-VERSION.zip here.",
)
@json_option
@click.pass_context
def export(ctx: click.Context, model: str, version: str, out: Path | None, as_json: bool) -> None:
    """Write all evidence on VERSION of MODEL as one archive that proves itself.

    \b
    promotion audit export credit-risk 3 --out credit-risk-3.zip
    """
    from promotion_assets.audit.bundle import export_bundle
    from promotion_assets.errors import EvidenceMissing
    from promotion_assets.pipeline.evidence_store import last_evidence
    from promotion_assets.pipeline.files import safe_name

    opened = workspace(ctx)
    opened.policy_of(model)
    target = out or Path(f"{safe_name(model)}-{safe_name(version)}.zip")
    note = ""
    with long_work(f"writing {target}", kept=f"no half of {target} is left") as tell:
        try:
            evidence = last_evidence(opened, model, version)
        except EvidenceMissing as error:
            evidence, note = None, f"without answers, since {error.problem}"
        checkpoint = opened.checkpointer.publish()
        tell(f"writing {target}")
        written = export_bundle(
            opened.ledger,
            opened.signer,
            checkpoint,
            model,
            version,
            target,
            opened.clock(),
            evidence=evidence,
            trusted=opened.trusted_keys,
        )
    if as_json:
        say_json(
            {
                "path": str(written.path),
                "entries": written.entries,
                "bytes": written.size,
                "notes": [note] if note else [],
            }
        )
        return
    click.echo(f"{written.path}: {written.entries} entries, {written.size:,} bytes")
    if note:
        click.echo(f"  {note}")


@command.command("checkpoint")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def checkpoint(ctx: click.Context, as_json: bool) -> None:
    """Sign how far the ledger has come, and publish that to every place.

    Happens by itself after every decision and stage change. Exit code 3 if no place took it.

    \b
    promotion audit checkpoint
    """
    published = workspace(ctx).checkpointer.publish()
    if as_json:
        say_json(
            {
                "size": published.checkpoint.size,
                "root": published.checkpoint.root.hex(),
                "held_at": list(published.held_at),
                "failed": list(published.failed),
            }
        )
    else:
        click.echo(f"{published.checkpoint.size} entries, {published.checkpoint.root.hex()}")
        for place in published.held_at:
            click.echo(f"  held at {place}")
        for failure in published.failed:
            click.echo(f"  not held at {failure}")
    if not published.held_at:
        ctx.exit(3)


@command.command("rotate-key")
@json_option
@click.pass_context
def rotate_key_(ctx: click.Context, as_json: bool) -> None:
    """Sign with a new key from now on; the one before counts for what it has signed so far.

    Stop what writes to the ledger first: daemon, webserver and servers keep the key that they
    started with. The key before signs a last checkpoint where it is still there, the new one the
    next. Whoever verifies needs the public keys of both; their files are named.

    \b
    promotion audit rotate-key
    PROMOTION_SIGNING_KEY=/run/secrets/new.key promotion audit rotate-key
    """
    from contextlib import suppress

    from promotion_assets.adapters.keys import public_keys, rotate_key
    from promotion_assets.adapters.ledger_store import open_entries
    from promotion_assets.errors import IntegrityError

    before = workspace(ctx)
    # Not there any more where it was lost, or the environment has the new one already.
    with suppress(IntegrityError):
        before.checkpointer.publish()
    entries = open_entries(before.database_url).head().size
    rotate_key(before.keys, before.environ, entries)
    opened = workspace(ctx)
    published = opened.checkpointer.publish()
    keyid = opened.signer.public_key.keyid
    keys = [str(path) for path in public_keys(opened.keys, opened.environ)]
    if as_json:
        size = published.checkpoint.size
        say_json(
            {"keyid": keyid, "from_entry": entries + 1, "public_keys": keys, "checkpoint": size}
        )
        return
    click.echo(f"key {keyid[:16]} signs from entry {entries + 1} on; the one before ends there")
    click.echo(f"  for whoever verifies: {', '.join(keys)}")
