"""Idempotency keys: a request with one takes effect once, and its answer is replayed.

Source: draft-ietf-httpapi-idempotency-key-header. The answer is stored as rendered bytes in the
transaction of the effect itself, so neither exists without the other.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, SmallInteger, Table, Uuid, func
from sqlalchemy import Text as TextColumn
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB

from chassis.auth.principal import CurrentPrincipal
from chassis.database.statements import fetch
from chassis.errors import Conflict, FieldError, Invalid
from chassis.http.context import path_of
from chassis.http.session import SessionDep


class IdempotencyInFlight(Conflict):
    """The first request with this key has not been answered yet."""

    name = "idempotency-in-flight"
    title = "A request with this Idempotency-Key is being worked on."


class IdempotencyKeyReused(Invalid):
    """The key was used for another body."""

    name = "idempotency-key-reused"
    title = "This Idempotency-Key was used for another request."


def declare_idempotency_table(metadata: MetaData) -> None:
    """Add ``idempotency_keys`` to a service's metadata, and so to its migrations."""
    Table(
        "idempotency_keys",
        metadata,
        Column("caller", Uuid, primary_key=True),
        Column("endpoint", TextColumn, primary_key=True),
        Column("key", TextColumn, primary_key=True),
        Column("body_hash", LargeBinary, nullable=False),
        Column("status", SmallInteger, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            nullable=False,
            server_default=func.now(),
            index=True,
        ),
    )


_LOCK = sql("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_FIND = """
    SELECT body_hash, status, headers::text, body FROM idempotency_keys
    WHERE caller = $1 AND endpoint = $2 AND key = $3
"""
_INSERT = """
    INSERT INTO idempotency_keys (caller, endpoint, key, body_hash, status, headers, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Any unique text: repeating the request with it repeats the answer only.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """The idempotency of one request; without a key it does nothing."""

    session: SessionDep
    caller: CurrentPrincipal
    endpoint: str
    key: str | None
    body_hash: bytes

    async def replay(self) -> Response | None:
        """Give the stored answer, or None where the request must be carried out.

        Raises:
            IdempotencyInFlight: the first request holds the key.
            IdempotencyKeyReused: the stored answer is to another body.
        """
        if self.key is None:
            return None
        name = f"idempotency:{self.caller.user_id}:{self.endpoint}:{self.key}"
        if not await self.session.scalar(_LOCK, {"name": name}):
            message = "wait for the first answer, or repeat this request in a moment"
            raise IdempotencyInFlight(message)
        # A statement of its own: its snapshot must be younger than the lock.
        found = await fetch(self.session, _FIND, self.caller.user_id, self.endpoint, self.key)
        if not found:
            return None
        body_hash, status, headers, body = found[0]
        if body_hash != self.body_hash:
            field = FieldError(detail="was used with another body", header="Idempotency-Key")
            message = "use a new Idempotency-Key for a new request"
            raise IdempotencyKeyReused(message, errors=[field])
        return Response(body, status_code=status, headers=json.loads(headers))

    async def answer(
        self, body: BaseModel, *, status: int, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Render the answer, and store it in the request's own transaction."""
        content = body.model_dump_json().encode()
        sent = {**(headers or {}), "Content-Type": "application/json"}
        if self.key is not None:
            await fetch(
                self.session,
                _INSERT,
                self.caller.user_id,
                self.endpoint,
                self.key,
                self.body_hash,
                status,
                json.dumps(sent),
                content,
            )
        return Response(content, status_code=status, headers=sent)


async def _idempotency(
    request: Request,
    session: SessionDep,
    caller: CurrentPrincipal,
    idempotency_key: IdempotencyKey = None,
) -> Idempotency:
    return Idempotency(
        session=session,
        caller=caller,
        endpoint=f"{request.method} {path_of(request.scope)}",
        key=idempotency_key,
        body_hash=hashlib.sha256(await request.body()).digest(),
    )


Idempotent = Annotated[Idempotency, Depends(_idempotency)]
