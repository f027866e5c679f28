"""The reviewers' page: queue, request, slices, trying inputs, voting, figures."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, RedirectResponse
from starlette.exceptions import HTTPException

from promotion_assets.errors import (
    AccessRefused,
    PromotionError,
    Refusal,
    ReviewNotAllowed,
    Unreachable,
    UsageError,
)
from promotion_assets.review.access import SESSION
from promotion_assets.review.case import Ballot
from promotion_assets.review.desk import Desk
from promotion_assets.review.web.forms import FormRefused, form_of
from promotion_assets.review.web.pages import (
    page,
    queue_page,
    request_page,
    slice_page,
    try_page,
)
from promotion_assets.review.web.settings import WebSettings
from promotion_assets.review.web.slack import add_slack
from promotion_assets.review.web.visitors import (
    NeedsSignIn,
    Visitor,
    check_form,
    check_origin,
    source_of,
    visitor_of,
)
from promotion_assets.serving.web.refusals import not_served

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STATUS: tuple[tuple[type[PromotionError], int], ...] = (
    (AccessRefused, 403),
    (ReviewNotAllowed, 422),
    (UsageError, 400),
    (Refusal, 409),
    (Unreachable, 503),
)
VERSION = "/models/{model}/versions/{version}"
# What the buttons of a request's form say; `later` is an approval that is completed elsewhere.
CHOICES = ("approved", "later", "rejected")
Form = Annotated[dict[str, str], Depends(form_of)]


def review_app(desk: Callable[[], Desk], settings: WebSettings) -> FastAPI:
    """Return the page as an ASGI application.

    Args:
        desk: gives the platform; asked for every request.
    """
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        title="reviews",
        # It would redirect to whatever host the request names.
        redirect_slashes=False,
    )

    def visitor(request: Request) -> Visitor:
        found = visitor_of(request, desk().access, settings)
        if found.fresh:
            request.scope["promotion_fresh"] = found.secret
        return found

    Known = Annotated[Visitor, Depends(visitor)]

    _add_manners(app, desk, settings)
    _add_sign_in(app, desk, settings)
    if settings.slack_secret is not None:
        add_slack(app, desk, settings)

    @app.get("/")
    def queue(known: Known) -> Response:
        return queue_page(known, desk().queue())

    @app.get("/figures")
    def figures(known: Known) -> Response:
        return page("figures.html", known, figures=desk().figures())

    @app.get(VERSION)
    def shown(model: str, version: str, known: Known, segment: str = "") -> Response:
        where = segment or desk().segment_of(model, version)
        return request_page(known, desk().show(model, version, where, known.reviewer))

    @app.get(f"{VERSION}/slices/{{slice_id}}")
    def opened(
        model: str, version: str, slice_id: str, known: Known, segment: str = ""
    ) -> Response:
        where = segment or desk().segment_of(model, version)
        found = desk().open_slice(model, version, where, known.reviewer, slice_id)
        return slice_page(known, found, slice_id)

    @app.get(f"{VERSION}/try")
    def trying(model: str, version: str, known: Known, segment: str = "") -> Response:
        where = segment or desk().segment_of(model, version)
        return try_page(known, (model, version, where), desk().inputs(model, version, where))

    @app.post(f"{VERSION}/try")
    def tried(request: Request, model: str, version: str, known: Known, form: Form) -> Response:
        check_form(request, known, form, desk().access)
        where = form.get("segment") or desk().segment_of(model, version)
        values = {k.removeprefix("input."): v for k, v in form.items() if k.startswith("input.")}
        answered = desk().try_inputs(model, version, where, values)
        return try_page(known, (model, version, where), values, answered)

    @app.post(f"{VERSION}/vote")
    def vote(request: Request, model: str, version: str, known: Known, form: Form) -> Response:
        check_form(request, known, form, desk().access)
        return _vote(desk(), model, version, known, form)

    return app


def _vote(desk: Desk, model: str, version: str, known: Visitor, form: dict[str, str]) -> Response:
    segment = form.get("segment") or desk.segment_of(model, version)
    answers = {k.removeprefix("answer."): v for k, v in form.items() if k.startswith("answer.")}
    chosen = form.get("verdict")
    if chosen not in CHOICES:
        raise UsageError(
            f"voting on {model} version {version}",
            "the form neither approves nor rejects it",
            "send it by one of the buttons of the page",
        )
    ballot = Ballot(
        model=model,
        version=version,
        segment=segment,
        request_id=form.get("request_id", "")[:100],
        verdict="rejected" if chosen == "rejected" else "approved",
        answers=answers,
        comment=form.get("comment", ""),
    )
    try:
        if chosen == "later":
            token = desk.finish_later(ballot, known.reviewer)
            return page("later.html", known, ballot=ballot, token=token)
        decided = desk.vote(ballot, known.reviewer, "page")
    except ReviewNotAllowed as refused:
        shown = desk.show(model, version, segment, known.reviewer)
        return request_page(known, shown, refused=refused, ballot=ballot)
    told = desk.told(model, version, segment, known.reviewer)
    return page("voted.html", known, decided=decided, told=told)


def _add_sign_in(app: FastAPI, desk: Callable[[], Desk], settings: WebSettings) -> None:
    @app.get("/login")
    def ask(next: str = "/") -> Response:
        return page("login.html", None, next=_inside(next), problem="")

    @app.post("/login")
    def _sign_in(request: Request, form: Form) -> Response:
        target = _inside(form.get("next", "/"))
        try:
            name, _ = desk().access.sign_in(form.get("token", ""), source_of(request))
        except AccessRefused as error:
            return page(
                "login.html",
                None,
                status=401,
                next=target,
                problem=f"{error.problem}. {error.next_step[0].upper()}{error.next_step[1:]}.",
            )
        answer = RedirectResponse(target, status_code=303)
        answer.set_cookie(
            settings.session_cookie,
            name,
            max_age=int(SESSION.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=settings.secure,
            path="/",
        )
        return answer

    @app.post("/logout")
    def sign_out(request: Request, form: Form) -> Response:
        known = visitor_of(request, desk().access, settings)
        check_form(request, known, form, desk().access)
        desk().access.sign_out(request.cookies.get(settings.session_cookie, ""))
        answer = RedirectResponse("/login", status_code=303)
        # A browser takes no cookie of the prefix that is not secure, not even its end.
        answer.delete_cookie(settings.session_cookie, path="/", secure=settings.secure)
        return answer

    @app.get("/style.css")
    def style() -> Response:
        return FileResponse(Path(__file__).parent / "style.css", media_type="text/css")


def _add_manners(app: FastAPI, desk: Callable[[], Desk], settings: WebSettings) -> None:
    @app.middleware("http")
    async def _guarded(
        request: Request, go_on: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        foreign = request.method == "POST" and not check_origin(request, settings)
        if foreign and not request.url.path.startswith("/slack/"):
            detail = f"a form that was sent from {request.headers.get('origin', '')[:100]!r}"
            await run_in_threadpool(
                desk().access.failed, source_of(request), detail, "request_refused"
            )
            answer: Response = page(
                "error.html",
                None,
                status=403,
                error=AccessRefused(
                    "handing in a form", "it was sent from another site", "open our page first"
                ),
            )
        else:
            answer = await go_on(request)
        _guard(answer, settings)
        fresh = request.scope.get("promotion_fresh")
        if isinstance(fresh, str):
            answer.set_cookie(
                settings.form_cookie,
                fresh,
                httponly=True,
                samesite="lax",
                secure=settings.secure,
                path="/",
            )
        return answer

    # Sent by the outermost layer, which the headers above do not reach; the error is logged.
    @app.exception_handler(Exception)
    def broken(request: Request, _: Any) -> Response:
        said = PromotionError(
            "showing this page",
            "this is a defect of the platform",
            "see the server's log; what was recorded before holds",
        )
        return _guard(page("error.html", None, status=500, error=said), settings)

    @app.exception_handler(NeedsSignIn)
    def sign_in_first(request: Request, _: Any) -> Response:
        if request.method != "GET":
            desk().access.failed(
                source_of(request), "a form without a session that is open", "request_refused"
            )
            return page("login.html", None, status=401, next="/", problem="Your session ended.")
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(_inside(wanted))}", status_code=303)

    @app.exception_handler(PromotionError)
    def told(request: Request, error: Any) -> Response:
        if isinstance(error, FormRefused):
            desk().access.failed(source_of(request), error.problem, "request_refused")
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 500)
        return page("error.html", None, status=status, error=error)

    @app.exception_handler(HTTPException)
    def unknown(request: Request, error: Any) -> Response:
        said = not_served(request, error, "go on from the queue")
        answer = page("error.html", None, status=said.status, error=said)
        answer.headers.update(error.headers or {})
        return answer


def _guard(answer: Response, settings: WebSettings) -> Response:
    for name, value in HEADERS.items():
        answer.headers[name] = value
    if settings.secure:
        answer.headers["Strict-Transport-Security"] = "max-age=31536000"
    return answer


def _inside(path: str) -> str:
    """Return a path of ours to go to, whatever was asked for."""
    local = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if local and all(32 < ord(c) < 127 for c in path) else "/"
