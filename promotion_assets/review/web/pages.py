"""Rendering: values in, HTML out; everything is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from promotion_assets.errors import ReviewNotAllowed
from promotion_assets.review.case import Ballot
from promotion_assets.review.ports import Answered, QueueItem, Shown
from promotion_assets.review.view import interval_text, limit_text, number, signed
from promotion_assets.review.web.visitors import Visitor

_TEMPLATES = Environment(
    loader=PackageLoader("promotion_assets.review.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "number": number,
    "signed": signed,
    "interval": interval_text,
    "limit": limit_text,
    "base64": lambda data: base64.b64encode(data).decode(),
}


def page(
    template: str, visitor: Visitor | None, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """Render a template."""
    text = _TEMPLATES.get_template(template).render(visitor=visitor, **values)
    return HTMLResponse(text, status_code=status)


def queue_page(visitor: Visitor, queue: Sequence[QueueItem]) -> HTMLResponse:
    """Render the queue, what is the visitor's turn first."""
    ordered = sorted(queue, key=lambda item: visitor.reviewer not in item.assigned)
    return page("queue.html", visitor, queue=ordered)


def request_page(
    visitor: Visitor,
    shown: Shown,
    *,
    refused: ReviewNotAllowed | None = None,
    ballot: Ballot | None = None,
) -> HTMLResponse:
    """Render a request, with what was refused and the answers given where there are any."""
    return page(
        "request.html",
        visitor,
        status=200 if refused is None else 422,
        shown=shown,
        view=shown.view,
        problems=refused.problems if refused else (),
        answers=dict(ballot.answers) if ballot else {},
        comment=ballot.comment if ballot else "",
        rejecting=ballot is not None and ballot.verdict == "rejected",
    )


def try_page(
    visitor: Visitor,
    place: tuple[str, str, str],
    inputs: Mapping[str, str],
    answered: Answered | None = None,
) -> HTMLResponse:
    """Render the form for hand-made inputs; ``place`` is model, version and segment."""
    model, version, segment = place
    return page(
        "try.html",
        visitor,
        model=model,
        version=version,
        segment=segment,
        inputs=inputs,
        answered=answered,
    )


def slice_page(visitor: Visitor, shown: Shown, slice_id: str) -> HTMLResponse:
    """Render one slice of the results."""
    found = next((part for part in shown.case.slices if part.id == slice_id), None)
    status = 200 if found is not None else 404
    return page("slice.html", visitor, status=status, shown=shown, view=shown.view, part=found)
