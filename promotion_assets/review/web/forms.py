"""Forms as they are sent: read up to a limit, parsed, nothing in them believed."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from promotion_assets.errors import UsageError

LARGEST = 256 * 1024
MOST_FIELDS = 500


class FormRefused(UsageError):
    """What was sent is no form of ours, or larger than any."""


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form; the last one of a name counts.

    Raises:
        FormRefused: it is too large, or no form.
    """
    return parsed(await body_of(request))


async def body_of(request: Request) -> bytes:
    """Return the body of a request, at most :data:`LARGEST` bytes.

    Raises:
        FormRefused: it is larger; no more than that is read.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise FormRefused(
                "reading what was sent",
                f"it is larger than {LARGEST // 1024} KiB",
                "send less; an answer has at most 4,000 characters",
            )
    return bytes(body)


def parsed(body: bytes) -> dict[str, str]:
    """Return the fields of a form's body.

    Raises:
        FormRefused: it is no form.
    """
    try:
        text = body.decode("utf-8")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except (ValueError, UnicodeDecodeError) as error:
        raise FormRefused(
            "reading what was sent", "it is no form", "send it from the page"
        ) from error
