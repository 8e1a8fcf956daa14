"""What holds for the success responses of each operation in the merged OpenAPI document."""

import json
from pathlib import Path

import pytest

from chassis.database import new_id

DOCUMENT = Path(__file__).parents[1] / "openapi.json"
METHODS = frozenset({"get", "put", "post", "patch", "delete"})
EXPORT = "/api/v1/users/me/export"
BODILESS = frozenset({204, 304})
OF_A_BODY = frozenset({"content-type", "content-length", "transfer-encoding"})
DEFAULT = ["private, no-cache"]


def successes():
    """Yield the method, path and status of each documented success, and whether it is public."""
    paths = json.loads(DOCUMENT.read_text())["paths"]
    for path, item in paths.items():
        for method in METHODS & item.keys():
            operation = item[method]
            for status in operation["responses"]:
                if status[0] in "23":
                    yield method.upper(), path, int(status), not operation.get("security")


@pytest.fixture
def answers_to(gateway, bearer):
    """Return the response to each documented success, with the operation and the default."""

    async def sent(query=""):
        for method, path, status, public in sorted(successes()):
            target = "/".join(
                str(new_id()) if part.startswith("{") else part for part in path.split("/")
            )
            answer = await gateway.http.request(
                method, f"{target}?status={status}{query}", headers=None if public else bearer
            )
            own = ["no-store"] if path == EXPORT else None  # its response is the gateway's own
            assert answer.status_code == status, (method, path, answer.text)
            yield f"{method} {path} {status}", answer, own or ([] if public else DEFAULT)

    return sent


def test_the_document_has_operations_of_each_kind():
    found = list(successes())
    assert {method.lower() for method, *_ in found} == METHODS
    assert {200, 201, 202, 204, 304} <= {status for _, _, status, _ in found}
    assert {public for *_, public in found} == {True, False}


async def test_only_the_callers_own_cache_may_keep_what_a_token_was_needed_for(answers_to):
    wrong = [
        (operation, found)
        async for operation, answer, default in answers_to()
        if (found := answer.headers.get_list("cache-control")) != default
    ]
    assert wrong == []


async def test_what_the_service_says_about_keeping_a_response_is_passed_on(answers_to):
    said = "private, max-age=7"
    wrong = [
        (operation, found)
        async for operation, answer, _ in answers_to(f"&cache={said}")
        if (found := answer.headers.get_list("cache-control")) != [said] and EXPORT not in operation
    ]
    assert wrong == []


async def test_a_response_without_a_body_describes_none(answers_to):
    wrong = [
        (operation, found)
        async for operation, answer, _ in answers_to()
        if answer.status_code in BODILESS
        and ((found := OF_A_BODY & answer.headers.keys()) or answer.content)
    ]
    assert wrong == []
