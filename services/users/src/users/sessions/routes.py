"""HTTP on sessions: log-in, the token endpoint of OAuth 2, the public keys."""

from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from chassis.http import Router, problems
from users.sessions.errors import InvalidCredentials
from users.sessions.schemas import (
    MAX_REFRESH_TOKEN,
    Credentials,
    JsonWebKey,
    JsonWebKeySet,
    TokenError,
    TokenRequest,
    Tokens,
)
from users.sessions.service import IssuedTokens, Refusal
from users.wiring import LogInDep, PublicKeysDep, Sessions

router = Router(prefix="/api/v1/auth", tags=["sessions"])
keys = Router(tags=["sessions"])

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 100
_KEYS_CACHE_SECONDS = 300
_NO_STORE = "no-store"


@router.post("/login", operation_id="logIn", responses=problems(InvalidCredentials))
async def log_in(body: Credentials, use_case: LogInDep, response: Response) -> Tokens:
    """Open a session with address and password."""
    tokens = await use_case.run(email=body.email, password=body.password)
    return _shown(tokens, response)


@router.post(
    "/token",
    operation_id="refreshToken",
    response_model=Tokens,
    responses={
        400: {"model": TokenError, "description": "Refused, as RFC 6749 §5.2 says it."},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {_FORM: {"schema": TokenRequest.model_json_schema()}},
        }
    },
)
async def refresh(request: Request, sessions: Sessions, response: Response) -> Tokens | Response:
    """Exchange a refresh token for new tokens (RFC 6749 §6).

    Each refresh token is good for one use. One that is used a second time was stolen or lost, and
    ends its session.
    """
    form = await _form(request)
    if isinstance(form, TokenError):
        return _refused(form)
    outcome = await sessions.refresh(form)
    if isinstance(outcome, Refusal):
        return _refused(TokenError(error="invalid_grant", error_description=outcome.value))
    return _shown(outcome, response)


@keys.get("/.well-known/jwks.json", operation_id="readKeys")
async def read_keys(public_keys: PublicKeysDep, response: Response) -> JsonWebKeySet:
    """Read the public keys that access tokens are verified with (RFC 7517)."""
    response.headers["Cache-Control"] = f"public, max-age={_KEYS_CACHE_SECONDS}"
    return JsonWebKeySet(keys=[JsonWebKey.model_validate(key) for key in public_keys.published()])


def _shown(tokens: IssuedTokens, response: Response) -> Tokens:
    response.headers["Cache-Control"] = _NO_STORE
    return Tokens(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        scope=tokens.scope,
    )


async def _form(request: Request) -> str | TokenError:
    """Give the refresh token, or what is wrong with the form, by RFC 6749's rules."""
    fields = await _fields(request)
    if isinstance(fields, TokenError):
        return fields
    grant_type, token = fields.get("grant_type"), fields.get("refresh_token")
    if grant_type is None:
        return _bad("grant_type is missing")
    if grant_type != "refresh_token":
        return TokenError(
            error="unsupported_grant_type",
            error_description="the only grant_type that is offered is refresh_token",
        )
    if token is None or len(token) > MAX_REFRESH_TOKEN:
        return _bad(f"refresh_token is missing, or has over {MAX_REFRESH_TOKEN} characters")
    return token


async def _fields(request: Request) -> dict[str, str] | TokenError:
    """Read the form. No parameter may come twice, one without a value counts as left out (§3.2)."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != _FORM:
        return _bad(f"send the parameters as {_FORM}")
    try:
        body = (await request.body()).decode()
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        return _bad(f"the body is no form in UTF-8 of {_MAX_FIELDS} parameters at most")
    if len({name for name, _ in pairs}) != len(pairs):
        return _bad("a parameter came twice")
    return {name: value for name, value in pairs if value}


def _bad(description: str) -> TokenError:
    return TokenError(error="invalid_request", error_description=description)


def _refused(error: TokenError) -> Response:
    headers = {"Cache-Control": _NO_STORE, "Pragma": "no-cache"}
    content: dict[str, Any] = error.model_dump()
    return JSONResponse(content, status_code=400, headers=headers)
