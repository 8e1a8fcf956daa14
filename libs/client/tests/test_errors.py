"""A rejected call is raised with all that the response says."""

import httpx
import pytest

from client import AnswerError, ClientError, ProblemError

from .conftest import scripted


def of(status: int, **members: object) -> httpx.Response:
    media_type = {"Content-Type": "application/problem+json"}
    return httpx.Response(status, headers=media_type, json=members)


async def register(answer: httpx.Response) -> ProblemError:
    async with scripted(answer) as (api, _):
        with pytest.raises(ProblemError) as caught:
            await api.register(email="a@example.com", password="p", full_name="A")
    return caught.value


async def test_a_problem_is_raised_with_all_it_says() -> None:
    kind = "https://example.com/problems/email-taken"
    problem = await register(
        of(409, type=kind, title="Taken.", detail="It has an account.", request_id="r-1")
    )
    assert str(problem) == "409 Taken: It has an account. (request r-1)"
    assert (problem.status, problem.name, problem.request_id) == (409, "email-taken", "r-1")
    assert isinstance(problem, ClientError)


async def test_invalid_fields_are_named() -> None:
    errors = [
        {"pointer": "/email", "detail": "no address"},
        {"header": "Idempotency-Key", "detail": "missing"},
        {"parameter": "limit", "detail": "too large"},
    ]
    problem = await register(of(422, title="Invalid.", errors=errors))
    assert "/email: no address; Idempotency-Key: missing; limit: too large" in str(problem)
    assert problem.errors[0].pointer == "/email"
    assert (await register(of(422, title="Invalid.", errors=None))).errors == ()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(500, text="lost"), "returned 500 without a problem document: 'lost'"),
        (of(500, type=1), "returned 500 without a problem document"),
        (httpx.Response(201, json={"wrong": "shape"}), r"returned 201 without a valid User \(9"),
    ],
)
async def test_a_response_of_another_shape_is_named(answer: httpx.Response, reason: str) -> None:
    async with scripted(answer) as (api, _):
        with pytest.raises(AnswerError, match=reason):
            await api.register(email="a@example.com", password="p", full_name="A")


async def test_an_answer_that_is_not_oauth_s_stays_what_it_is() -> None:
    async with scripted(httpx.Response(400, text="lost")) as (api, _):
        with pytest.raises(AnswerError, match="lost"):
            await api.refresh("r")
