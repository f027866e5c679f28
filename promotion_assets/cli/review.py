"""``promotion review``: the queue, a request with its evidence, and the vote."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from promotion_assets.cli.completing import MODEL, SEGMENT, VERSION
from promotion_assets.cli.groups import Group, json_option
from promotion_assets.cli.root import workspace
from promotion_assets.cli.speaking import say_json, say_table

TOKEN = "PROMOTION_REVIEWER_TOKEN"  # noqa: S105  (the variable's name)


def segment_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--segment`` to a command."""
    return click.option(
        "--segment",
        type=SEGMENT,
        default="",
        help="Which segment; the one in which it waits where not given.",
    )(function)


@click.group("review", cls=Group)
def command() -> None:
    """Review what is in Staging; the same rules hold here, on the page and in Slack.

    Your token is taken from PROMOTION_REVIEWER_TOKEN, or asked for.

    \b
    promotion review list
    promotion review show credit-risk 2
    promotion review approve credit-risk 2 --answers answers.yaml
    promotion review reject credit-risk 2 --reason "high school is worse off"
    promotion review serve
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show the open requests, after opening, reminding and expiring what is due.

    \b
    promotion review list --json
    """
    from promotion_assets.pipeline.review_queue import queue
    from promotion_assets.pipeline.review_requests import keep_requests

    opened = workspace(ctx)
    problems = [
        f"{model}: {problem}"
        for model in opened.policy.models
        for problem in keep_requests(opened, model).problems
    ]
    waiting = queue(opened)
    if as_json:
        say_json({"requests": [vars(item) for item in waiting], "problems": problems})
        return
    for problem in problems:
        click.echo(problem, err=True)
    if not waiting:
        click.echo("no review is open")
        return
    say_table(
        "",
        ("model", "version", "segment", "requested", "approvals", "whose turn"),
        [
            (
                item.model,
                item.version,
                item.segment,
                f"{item.requested_at:%Y-%m-%d}",
                f"{item.approvals} of {item.quorum}",
                ", ".join(item.assigned) or "nobody may review it",
            )
            for item in waiting
        ],
    )


@command.command("show")
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option("--slice", "slices", multiple=True, help="A slice to open, by its id.")
@segment_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def show(
    ctx: click.Context,
    model: str,
    version: str,
    slices: tuple[str, ...],
    segment: str,
    as_json: bool,
) -> None:
    """Show the evidence on VERSION of MODEL and the questions; note that you have opened it.

    \b
    promotion review show credit-risk 2
    promotion review show credit-risk 2 --slice 3f2a90c1d4e5
    """
    desk, reviewer = _signed_in(ctx)
    segment = segment or desk.segment_of(model, version)
    shown = desk.show(model, version, segment, reviewer)
    for slice_id in slices:
        shown = desk.open_slice(model, version, segment, reviewer, slice_id)
    if as_json:
        view = shown.view.model_dump(mode="json")
        say_json({"view": view, "digest": shown.view_digest, "told": list(shown.told)})
        return
    from promotion_assets.review.as_text import as_text

    click.echo(as_text(shown, frozenset(slices)))


@command.command("approve")
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option(
    "--answers",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML with an answer for each question's id. Asked for one by one where not given.",
)
@click.option("--comment", default="", help="A remark, for the record.")
@segment_option
@json_option
@click.pass_context
def approve(
    ctx: click.Context,
    model: str,
    version: str,
    answers: Path | None,
    comment: str,
    segment: str,
    as_json: bool,
) -> None:
    """Approve VERSION of MODEL, with every question answered.

    \b
    promotion review approve credit-risk 2 --answers answers.yaml
    """
    desk, reviewer = _signed_in(ctx)
    from promotion_assets.review.case import Ballot

    segment = segment or desk.segment_of(model, version)
    case = desk.case(model, version, segment)
    given = answers_in(answers) if answers else _asked(case.questions)
    ballot = Ballot(
        model=model,
        version=version,
        segment=segment,
        request_id=case.request.request_id if case.request else "",
        verdict="approved",
        answers=given,
        comment=comment,
    )
    decided = desk.vote(ballot, reviewer, "cli")
    told = desk.told(model, version, segment, reviewer)
    if as_json:
        say_json(_vote(ballot, reviewer, decided.flags, told))
        return
    click.echo(f"{reviewer} has approved {model} version {version}")
    for flag in decided.flags:
        click.echo(f"  flagged for audit: {flag}")
    for sentence in told:
        click.echo(sentence)


@command.command("reject")
@click.argument("model", type=MODEL)
@click.argument("version", type=VERSION)
@click.option("--reason", required=True, help="Why; the one thing that a rejection needs.")
@segment_option
@json_option
@click.pass_context
def reject(
    ctx: click.Context, model: str, version: str, reason: str, segment: str, as_json: bool
) -> None:
    """Reject VERSION of MODEL; it is archived at once.

    \b
    promotion review reject credit-risk 2 --reason "customers with a high school degree lose"
    """
    desk, reviewer = _signed_in(ctx)
    from promotion_assets.review.case import Ballot

    segment = segment or desk.segment_of(model, version)
    ballot = Ballot(
        model=model, version=version, segment=segment, verdict="rejected", comment=reason
    )
    decided = desk.vote(ballot, reviewer, "cli")
    told = desk.told(model, version, segment, reviewer)
    if as_json:
        say_json(_vote(ballot, reviewer, decided.flags, told))
        return
    click.echo(f"{reviewer} has rejected {model} version {version}")
    for sentence in told:
        click.echo(sentence)


@command.command("stats")
@click.argument("model", required=False, type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def stats(ctx: click.Context, model: str | None, as_json: bool) -> None:
    """Show how the team reviews: time to decide, flags, agreement, rejections, drills caught.

    \b
    promotion review stats credit-risk
    """
    from dataclasses import asdict

    from promotion_assets.pipeline.reviewing import ReviewDesk
    from promotion_assets.review.as_text import figures_text

    opened = workspace(ctx)
    if model is not None:
        opened.policy_of(model)
    figures = ReviewDesk(opened).figures([model] if model else [])
    if as_json:
        say_json(asdict(figures))
    else:
        click.echo(figures_text(figures))


@command.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="Port to listen on.")
@click.option(
    "--url", default="", help="How browsers reach it, https://…; cookies are then for https alone."
)
@click.option("--proxy-address", default="", help="The one proxy that may say who signs in.")
@click.option("--proxy-header", default="X-Forwarded-User", show_default=True, help="In which.")
@click.pass_context
def serve(
    ctx: click.Context, host: str, port: int, url: str, proxy_address: str, proxy_header: str
) -> None:
    """Serve the reviewers' page. Stop it with Ctrl-C.

    \b
    promotion review serve --port 8080
    promotion review serve --url https://review.example.org --proxy-address 10.0.0.7
    """
    import uvicorn

    from promotion_assets.adapters.http_server import MOST_CONNECTIONS, listening
    from promotion_assets.pipeline.desk_source import DeskSource
    from promotion_assets.review.web.app import review_app
    from promotion_assets.review.web.settings import WebSettings

    desk = DeskSource(lambda: workspace(ctx))
    desk().queue()
    settings = WebSettings(
        url=url or f"http://{host}:{port}",
        proxy_address=proxy_address or None,
        proxy_header=proxy_header,
        slack_secret=os.environ.get("PROMOTION_SLACK_SIGNING_SECRET") or None,
    )
    click.echo(f"reviews are at {settings.url}")
    uvicorn.run(
        review_app(desk, settings),
        host=host,
        port=port,
        log_level="warning",
        limit_concurrency=MOST_CONNECTIONS,
        **listening(),
    )


def _vote(ballot: Any, reviewer: str, flags: Sequence[str], told: Sequence[str]) -> dict[str, Any]:
    return {
        "model": ballot.model,
        "version": ballot.version,
        "segment": ballot.segment,
        "reviewer": reviewer,
        "verdict": ballot.verdict,
        "flags": list(flags),
        "told": list(told),
    }


def _signed_in(ctx: click.Context) -> tuple[Any, str]:
    from promotion_assets.pipeline.reviewing import ReviewDesk

    desk = ReviewDesk(workspace(ctx))
    token = os.environ.get(TOKEN) or _asked_token()
    return desk, desk.access.verify(token, "cli").reviewer


def _asked_token() -> str:
    from promotion_assets.errors import UsageError

    try:
        return str(click.prompt("your token", hide_input=True, err=True))
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise UsageError(
            "signing in to review",
            "there is no token, and nobody at a terminal to be asked for it",
            f"set {TOKEN}; `promotion reviewer add NAME` issues one",
        ) from None


def answers_in(path: Path) -> Mapping[str, str]:
    """Return the answers in a file, by question id, as they were written; a tick is ``yes``."""
    import yaml

    from promotion_assets.errors import UsageError

    try:
        # Not loaded: YAML would make numbers and dates of what is to be recorded as written.
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise UsageError(
            f"reading the answers {path}",
            f"it is no YAML{where}",
            "write `question: answer` lines, and an answer with a colon in quotes",
        ) from error
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(
            f"reading the answers {path}", "it is no mapping", "write `question: answer` lines"
        )
    given: dict[str, str] = {}
    for question, answer in node.value:
        line = question.start_mark.line + 1
        if not isinstance(question, yaml.ScalarNode) or not isinstance(answer, yaml.ScalarNode):
            raise UsageError(
                f"reading the answers {path}",
                f"what line {line} begins is no text",
                "write `question: answer` lines, and an answer with brackets or a dash in quotes",
            )
        if question.value in given:
            raise UsageError(
                f"reading the answers {path}",
                f"line {line} answers {question.value} a second time",
                "leave one answer to each question",
            )
        ticked = answer.value.lower() in ("yes", "true", "on")
        given[question.value] = "yes" if ticked else answer.value
    return given


def _asked(questions: tuple[Any, ...]) -> Mapping[str, str]:
    answers = {}
    for question in questions:
        if question.kind == "confirm":
            answers[question.id] = "yes" if click.confirm(question.text, default=False) else ""
        else:
            answers[question.id] = click.prompt(question.text, default="", show_default=False)
    return answers
