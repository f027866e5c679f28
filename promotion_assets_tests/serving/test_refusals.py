"""What a server says of requests that lead nowhere: programs read it, so it has one form."""

from __future__ import annotations

from pathlib import Path

import pytest

from promotion_assets_tests.fuzz.served import served


@pytest.mark.parametrize(
    ("path", "status", "code", "problem"),
    [
        ("/outcome", 404, "RESOURCE_DOES_NOT_EXIST", "nothing is found at /outcome"),
        ("/v2/health/live", 405, "BAD_REQUEST", "/v2/health/live takes no POST"),
        ("/nothing\u00e9", 404, "RESOURCE_DOES_NOT_EXIST", "nothing is found at /nothing\u00e9"),
    ],
)
def test_an_address_that_is_none_is_refused_in_three_parts(
    tmp_path: Path, path: str, status: int, code: str, problem: str
) -> None:
    """Also by the framework, whose own words would have another form."""
    with served(tmp_path) as caller:
        answer = caller.post(path, b"{}", [])
    assert answer.status == status
    assert answer.json == {
        "error_code": code,
        "message": f"answering a request: {problem}. Next: see docs/serving.md for the addresses "
        "and what each of them takes",
        "error": problem,
        "doing": "answering a request",
        "next_step": "see docs/serving.md for the addresses and what each of them takes",
    }
