"""HTTP routes of log-in sessions: OAuth 2's endpoints, the list of sessions, the public keys."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse

from chassis.actor import Actor
from chassis.auth import Principal, TokenVerifier, require_scope
from chassis.auth.keys import CACHE_SECONDS
from chassis.errors import LogInRequired
from chassis.http import Page, PageQuery, Pages, Router, acting_in_person, problems
from chassis.http.caching import NO_STORE
from chassis.http.context import request_id_of
from chassis.http.host_cookie import CrossOrigin, HostCookie
from chassis.http.origin import client_address
from chassis.paging import TimePosition
from chassis.wire_names import FORM
from users.sessions.errors import SessionNotFound
from users.sessions.models import SCOPES, Client, LogInSession, device_of
from users.sessions.schemas import (
    MAX_PARAMETER,
    MAX_REFRESH_TOKEN,
    JsonWebKey,
    JsonWebKeySet,
    RevocationRequest,
    Revoked,
    ServerMetadata,
    Session,
    TokenError,
    TokenRequest,
    Tokens,
)
from users.sessions.service import IssuedTokens, Refusal
from users.sessions.wiring import Issuer, PublicKeysDep, RefreshCookie, Sessions, VerifierDep

router = Router(prefix="/api/v1/auth", tags=["sessions"])
keys = Router(tags=["sessions"])

Owner = Annotated[Principal, require_scope("profile")]
OwnerActing = Annotated[Actor, acting_in_person("profile")]

_MAX_FIELDS = 100
_JWKS = "/.well-known/jwks.json"
_METADATA = "/.well-known/oauth-authorization-server"


def _form_of(shape: type[TokenRequest | RevocationRequest]) -> dict[str, Any]:
    """Return the parts of an operation whose body is a form that the route reads itself."""
    content = {FORM: {"schema": shape.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": TokenError, "description": "Refused, as RFC 6749 §5.2 says it."},
}


@router.post(
    "/token",
    operation_id="refreshToken",
    response_model=Tokens,
    responses=_REFUSED,
    openapi_extra=_form_of(TokenRequest),
)
async def refresh(
    request: Request, sessions: Sessions, cookie: RefreshCookie, response: Response
) -> Tokens | Response:
    """Exchange a refresh token for new tokens (RFC 6749 §6).

    Each refresh token is exchanged for one successor. A request may be repeated within 10 seconds,
    if its answer was lost or another tab sent the same one: it gets the same successor, as long as
    that is unused. A used token that comes again otherwise may be stolen, and ends its session.

    A page whose refresh token is in a cookie leaves `refresh_token` out, and gets the successor in
    the cookie.
    """
    given = await _refresh_token(request, cookie)
    if isinstance(given, TokenError):
        return _refused(given)
    outcome = await sessions.refresh(given.token, client=client_of(request))
    if isinstance(outcome, Refusal):
        return _refused(TokenError(error="invalid_grant", error_description=outcome.value))
    return shown(outcome, response, cookie if given.in_cookie else None)


@router.post(
    "/revoke",
    operation_id="revokeToken",
    response_model=Revoked,
    responses=_REFUSED,
    openapi_extra=_form_of(RevocationRequest),
)
async def revoke(
    request: Request,
    sessions: Sessions,
    verifier: VerifierDep,
    cookie: RefreshCookie,
    response: Response,
) -> Revoked | Response:
    """Log out: end the session of an access token or a refresh token (RFC 7009).

    A token that is not valid gets the same response, since it is of no use any more. A page whose
    refresh token is in a cookie leaves `token` out. The cookie is deleted.
    """
    fields = await _fields(request)
    given = fields if isinstance(fields, TokenError) else _given(fields, "token", request, cookie)
    if isinstance(given, TokenError):
        return _refused(given)
    client = client_of(request)
    if "." not in given.token:  # an access token has two dots, and a refresh token none
        await sessions.revoke_refresh_token(given.token, client=client)
    else:
        session_id = _session_of(given.token, verifier)
        if isinstance(session_id, TokenError):
            return _refused(session_id)
        if session_id is not None:
            await sessions.revoke_session(session_id, client=client)
    response.headers["Cache-Control"] = NO_STORE
    if given.in_cookie:
        cookie.clear(response)
    return Revoked()


@router.get("/sessions", operation_id="listSessions", responses=problems(LogInRequired))
async def list_sessions(
    query: Annotated[PageQuery, Query()],
    caller: Owner,
    _: OwnerActing,
    sessions: Sessions,
    pages: Pages,
) -> Page[Session]:
    """List one's own log-in sessions that have neither ended nor expired, the newest first."""
    found = await sessions.page(caller.user_id, query.page(TimePosition))

    def shape(session: LogInSession) -> Session:
        return _session(session, current=session.id == caller.session_id)

    return pages.write(found, shape, query=query)


@router.delete(
    "/sessions",
    operation_id="endAllSessions",
    status_code=204,
    responses=problems(LogInRequired),
)
async def end_all_sessions(
    caller: Owner,
    actor: OwnerActing,
    sessions: Sessions,
    cookie: RefreshCookie,
    response: Response,
) -> None:
    """End all one's own log-in sessions, also the one of this request."""
    await sessions.end_all(caller.user_id, by=actor)
    cookie.clear(response)


@router.delete(
    "/sessions/{session_id}",
    operation_id="endSession",
    status_code=204,
    responses=problems(SessionNotFound, LogInRequired),
)
async def end_session(
    session_id: UUID,
    actor: OwnerActing,
    sessions: Sessions,
    cookie: RefreshCookie,
    response: Response,
) -> None:
    """End one of one's own log-in sessions. One that has already ended stays so."""
    await sessions.end(session_id, by=actor)
    if session_id == actor.session_id:
        cookie.clear(response)


@keys.get(_JWKS, operation_id="readKeys", public_for=CACHE_SECONDS)
async def read_keys(public_keys: PublicKeysDep) -> JsonWebKeySet:
    """Read the public keys that access tokens are verified with (RFC 7517)."""
    return JsonWebKeySet(keys=[JsonWebKey.model_validate(key) for key in public_keys.published()])


@keys.get(_METADATA, operation_id="readServerMetadata", public_for=CACHE_SECONDS)
async def read_server_metadata(issuer: Issuer) -> ServerMetadata:
    """Read what an OAuth 2 client needs to know of this server (RFC 8414)."""
    base = issuer.rstrip("/")
    return ServerMetadata(
        issuer=issuer,
        token_endpoint=f"{base}{router.prefix}/token",
        revocation_endpoint=f"{base}{router.prefix}/revoke",
        jwks_uri=f"{base}{_JWKS}",
        scopes_supported=sorted(frozenset[str]().union(*SCOPES.values())),
        response_types_supported=[],
        grant_types_supported=["refresh_token"],
        token_endpoint_auth_methods_supported=["none"],
        revocation_endpoint_auth_methods_supported=["none"],
    )


def client_of(request: Request) -> Client:
    """Return the client that sent a request."""
    return Client.of(
        address=client_address(request),
        user_agent=request.headers.get("user-agent"),
        request_id=request_id_of(request.scope),
    )


def shown(tokens: IssuedTokens, response: Response, cookie: HostCookie | None = None) -> Tokens:
    """Return the body of a response with new tokens, which no cache may store.

    Args:
        tokens: the tokens.
        response: the response.
        cookie: takes the refresh token, which is then not in the body. None: it is in the body.
    """
    response.headers["Cache-Control"] = NO_STORE
    if cookie is not None:
        cookie.write(response, tokens.refresh_token)
    return Tokens(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token if cookie is None else None,
        scope=tokens.scope,
    )


def _session(session: LogInSession, *, current: bool) -> Session:
    return Session(
        id=session.id,
        device=device_of(session.user_agent),
        user_agent=session.user_agent,
        address=session.address,
        methods=session.methods,
        created_at=session.created_at,
        last_used_at=session.last_used_at,
        expires_at=session.expires_at,
        current=current,
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """A token that a request presents, and whether it came in the cookie."""

    token: str
    in_cookie: bool


async def _refresh_token(request: Request, cookie: HostCookie) -> _Given | TokenError:
    """Return the refresh token, or the error that RFC 6749 defines for the request."""
    fields = await _fields(request)
    if isinstance(fields, TokenError):
        return fields
    grant_type = fields.get("grant_type")
    if grant_type is None:
        return _bad("The parameter grant_type is missing. Send grant_type=refresh_token.")
    if grant_type != "refresh_token":
        return TokenError(
            error="unsupported_grant_type",
            error_description="The grant_type is not accepted. Send grant_type=refresh_token.",
        )
    given = _given(fields, "refresh_token", request, cookie)
    if isinstance(given, _Given) and len(given.token) > MAX_REFRESH_TOKEN:
        return _bad(
            f"The refresh token has over {MAX_REFRESH_TOKEN} characters. Send the newest one."
        )
    return given


def _given(
    fields: dict[str, str], name: str, request: Request, cookie: HostCookie
) -> _Given | TokenError:
    """Return the token in the parameter `name`, else the one in the cookie."""
    if name in fields:
        return _Given(fields[name], in_cookie=False)
    try:
        kept = cookie.read(request)
    except CrossOrigin as error:
        return _bad(str(error))
    if kept is None:
        return _bad(
            f"The parameter {name} is missing, and so is the cookie {cookie.name}. Send one of "
            "them, or log in."
        )
    return _Given(kept, in_cookie=True)


def _session_of(token: str, verifier: TokenVerifier) -> UUID | TokenError | None:
    """Return the session of an access token; None if the token is not valid any more."""
    try:
        principal = verifier.verify(token)
    except ValueError:
        return None
    if principal.session_id is None:
        return TokenError(
            error="unsupported_token_type",
            error_description="The access token belongs to an API key. Delete the API key.",
        )
    return principal.session_id


async def _fields(request: Request) -> dict[str, str] | TokenError:
    """Return the form's parameters, or an error. A parameter without a value counts as omitted.

    No parameter may occur twice (RFC 6749 §3.2).
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != FORM:
        return _bad(f"The Content-Type is not accepted. Send the parameters as {FORM}.")
    try:
        body = (await request.body()).decode()
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        return _bad(
            f"The body is not a valid form. Send at most {_MAX_FIELDS} parameters, in UTF-8."
        )
    if any(len(value) > MAX_PARAMETER for _, value in pairs):
        return _bad(f"A parameter has over {MAX_PARAMETER} characters. Send a shorter one.")
    if len({name for name, _ in pairs}) != len(pairs):
        return _bad("A parameter occurs more than once. Send each once.")
    return {name: value for name, value in pairs if value}


def _bad(description: str) -> TokenError:
    return TokenError(error="invalid_request", error_description=description)


def _refused(error: TokenError) -> Response:
    headers = {"Cache-Control": NO_STORE, "Pragma": "no-cache"}
    content: dict[str, Any] = error.model_dump()
    return JSONResponse(content, status_code=400, headers=headers)
