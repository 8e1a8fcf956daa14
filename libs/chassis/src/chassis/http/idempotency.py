"""Idempotency keys: a request with a key takes effect once, and its response is replayed.

Source: draft-ietf-httpapi-idempotency-key-header. A route declares it:
``@router.post("", idempotent=Idempotent.REQUIRED)``. The response is stored as rendered bytes in
the transaction of the effect itself, so neither exists without the other.
"""

import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Request, Response
from pydantic import TypeAdapter

from chassis.auth.principal import CurrentPrincipal
from chassis.database.unit import Unit
from chassis.errors import FieldError, Malformed
from chassis.http.context import path_of
from chassis.http.endpoints import ResponseDep, with_parameters
from chassis.http.idempotent import (
    IN_FLIGHT,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    Idempotent,
)
from chassis.http.unit import UnitDep
from chassis.wire_names import IDEMPOTENCY_KEY, JSON

_FIND = """
    SELECT body_hash, status, headers::text, body FROM idempotency_keys
    WHERE caller = $1 AND endpoint = $2 AND key = $3
"""
_INSERT = """
    INSERT INTO idempotency_keys (caller, endpoint, key, body_hash, status, headers, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

_ERASE = "DELETE FROM idempotency_keys WHERE caller = $1"

_KEY = Header(
    min_length=1,
    max_length=255,
    pattern=r"^[\x21-\x7e]+$",
    description="Any unique text, for one request of the caller to this path. For 24 hours, a "
    "repeated request with the same key gets the first response again, if that was 2xx. A request "
    "that was refused took no effect, and is tried again.",
)


async def erase_stored_responses(unit: Unit, *, caller: UUID) -> int:
    """Delete the stored responses of a caller, and return their number.

    Use it once the account of the caller is deleted: responses may contain personal data, and would
    be kept for a day. A request that repeats one of the keys is carried out again.
    """
    return await unit.execute(_ERASE, caller)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idempotency:
    """The idempotency of one request.

    Attributes:
        unit: the request's session; the response is stored in its transaction.
        caller: the owner of the key.
        endpoint: method and path; a key is unique per caller and endpoint.
        key: the request's Idempotency-Key.
        body_hash: SHA-256 of the request's body as it was sent.
    """

    unit: UnitDep
    caller: CurrentPrincipal
    endpoint: str
    key: str
    body_hash: bytes

    async def replay(self) -> Response | None:
        """Return the stored response, or None if the request must be carried out.

        Raises:
            IdempotencyInFlight: another request with the key is in progress.
            IdempotencyKeyReused: the stored response belongs to a request with another body.
        """
        name = f"idempotency:{self.caller.user_id}:{self.endpoint}:{self.key}"
        if not await self.unit.try_lock(name):
            raise IdempotencyInFlight(IN_FLIGHT)
        # A separate statement: its snapshot must be newer than the lock, or it could miss the row
        # of a request that committed just before.
        found = await self.unit.fetch(_FIND, self.caller.user_id, self.endpoint, self.key)
        if not found:
            return None
        body_hash, status, headers, body = found[0]
        if body_hash != self.body_hash:
            field = FieldError(detail="was used with another body", header=IDEMPOTENCY_KEY)
            message = (
                "The Idempotency-Key was used for a request with another body. Use a new key for "
                "a new request."
            )
            raise IdempotencyKeyReused(message, errors=[field])
        return Response(body, status_code=status, headers=json.loads(headers))

    def store(self, response: Response) -> None:
        """Store the response in the request's own transaction."""
        self.unit.defer(
            _INSERT,
            self.caller.user_id,
            self.endpoint,
            self.key,
            self.body_hash,
            response.status_code,
            json.dumps(dict(response.headers)),
            response.body,
        )


async def _optional(
    request: Request,
    unit: UnitDep,
    caller: CurrentPrincipal,
    idempotency_key: Annotated[str | None, _KEY] = None,
) -> _Idempotency | None:
    if idempotency_key is None:
        return None
    if len(request.headers.getlist(IDEMPOTENCY_KEY)) > 1:
        # FastAPI reads the last line only, and a proxy may read the first.
        field = FieldError(detail="occurs more than once", header=IDEMPOTENCY_KEY)
        message = "The Idempotency-Key occurs more than once. Send it once."
        raise Malformed(message, errors=[field])
    return _Idempotency(
        unit=unit,
        caller=caller,
        endpoint=f"{request.method} {path_of(request.scope)}",
        key=idempotency_key,
        body_hash=hashlib.sha256(await request.body()).digest(),
    )


async def _required(
    request: Request,
    unit: UnitDep,
    caller: CurrentPrincipal,
    idempotency_key: Annotated[str, _KEY],
) -> _Idempotency | None:
    return await _optional(request, unit, caller, idempotency_key)


_DEPENDENCIES = {Idempotent.OPTIONAL: _optional, Idempotent.REQUIRED: _required}


def made_idempotent(
    endpoint: Callable[..., Awaitable[Any]], declared: Idempotent, *, status: int
) -> Callable[..., Awaitable[Response]]:
    """Return a route's endpoint, wrapped so that it takes effect once for each key.

    The wrapper renders the response itself, because it must be stored before the transaction
    commits.

    Args:
        endpoint: the route's function; its return annotation determines how the result is rendered.
        declared: whether a request must have a key.
        status: the status of a response if the endpoint sets none.
    """
    rendered = TypeAdapter(inspect.signature(endpoint).return_annotation)

    def render(result: object, response: Response) -> Response:
        content = rendered.dump_json(rendered.validate_python(result), by_alias=True)
        headers = {**response.headers, "Content-Type": JSON}
        return Response(content, status_code=response.status_code or status, headers=headers)

    @wraps(endpoint)
    async def run_once(
        *, idempotency_: _Idempotency | None, response_: Response, **arguments: object
    ) -> Response:
        if idempotency_ is None:
            return render(await endpoint(**arguments), response_)
        stored = await idempotency_.replay()
        if stored is not None:
            return stored
        response = render(await endpoint(**arguments), response_)
        idempotency_.store(response)
        return response

    once = Annotated[_Idempotency | None, Depends(_DEPENDENCIES[declared])]
    return with_parameters(run_once, endpoint, idempotency_=once, response_=ResponseDep)
