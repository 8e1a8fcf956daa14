"""All SQL on deliveries, and on the state of the webhooks that they go to."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from chassis.database.statements import Statements
from chassis.database.unit import Unit
from chassis.jobs import insert_jobs
from chassis.jobs.retention import rows_older_than
from chassis.paging import ListOrder, PageRequest, PageRows, TimePosition
from notifications.deliveries.models import (
    ATTEMPTS_KEPT,
    DELIVERIES_KEPT,
    LONGEST,
    Delivery,
    DueDelivery,
    Target,
    WebhookState,
)
from notifications.webhooks.models import DisabledReason, SendDeliveries

_NEWEST_FIRST = ListOrder(TimePosition, Delivery.created_at, Delivery.id, descending=True)

# Deliveries and the jobs that send them, in one statement. The share lock makes the deletion of a
# webhook wait, so that its deliveries are deleted as well. The jobs are last: all transactions lock
# webhooks before deliveries, and both before jobs.
_ENQUEUE = """
    WITH notice AS MATERIALIZED (
        SELECT * FROM json_to_recordset($1::json) AS r (
            place integer, user_id uuid, notification_id uuid, source_event_id text, type text,
            payload text, traceparent text
        )
    ),
    webhook AS MATERIALIZED (
        SELECT id, user_id, types, paused_until FROM webhooks
        WHERE user_id = ANY (ARRAY(SELECT user_id FROM notice)) AND disabled_reason IS NULL
        ORDER BY id FOR KEY SHARE
    ),
    wanted AS MATERIALIZED (
        SELECT w.id AS webhook_id, w.paused_until, n.*
        FROM notice AS n JOIN webhook AS w USING (user_id)
        WHERE w.types = '{}' OR n.type = ANY (w.types)
    ),
    made AS (
        INSERT INTO deliveries
            (id, webhook_id, user_id, notification_id, source_event_id, type, payload, deadline)
        SELECT uuidv7(), webhook_id, user_id, notification_id, source_event_id, type,
            payload, now() + $2
        FROM wanted ORDER BY place
        ON CONFLICT (webhook_id, source_event_id) DO NOTHING
        RETURNING webhook_id
    ),
    sending AS MATERIALIZED (
        SELECT json_build_object('webhook_id', webhook_id) AS arguments,
            webhook_id::text AS unique_key, min(traceparent) AS traceparent,
            greatest(now(), min(paused_until)) AS run_at
        FROM wanted WHERE webhook_id IN (SELECT webhook_id FROM made)
        GROUP BY webhook_id
    )
"""
_ENQUEUE += insert_jobs(SendDeliveries, "sending")

_ADD_TEST = """
    INSERT INTO deliveries (id, webhook_id, user_id, type, payload, deadline)
    VALUES ($1, $2, $3, $4, $5, now() + $6)
"""
# A settled delivery begins again; one that waits is due at once.
_AGAIN = """
    UPDATE deliveries SET state = 'waiting', attempt_count = 0, next_attempt_at = now(),
        deadline = now() + $4, settled_at = NULL, updated_at = now()
    WHERE id = $1 AND webhook_id = $2 AND user_id = $3
"""
# One row for each due delivery; a webhook with none has one row without a delivery.
_DUE = """
    SELECT w.id, w.user_id, w.url, w.disabled_reason, w.failing_runs, w.is_slow, w.last_success_at,
        w.version, w.secret,
        CASE WHEN w.previous_secret_until > now() THEN w.previous_secret END AS previous_secret,
        coalesce(w.paused_until - now(), interval '0') AS pause,
        d.id AS delivery_id, d.notification_id, d.payload, d.attempt_count, d.created_at,
        d.deadline, d.deadline <= now() AS is_overdue
    FROM webhooks AS w
    LEFT JOIN LATERAL (
        SELECT * FROM deliveries
        WHERE webhook_id = w.id AND state = 'waiting' AND next_attempt_at <= now()
        ORDER BY next_attempt_at
        LIMIT CASE WHEN w.failing_runs > 0 THEN 1 ELSE $2 END
    ) AS d ON true
    WHERE w.id = $1
    ORDER BY d.next_attempt_at
"""
# A failure of the webhook as it was before its owner changed it does not hold the new one up. Nor
# does a failure count for a delivery that began again while the request was under way, as its new
# deadline tells: its owner asked for all attempts, and the first of them now.
_RECORD = f"""
    WITH result AS MATERIALIZED (
        SELECT * FROM json_to_recordset($2::json) AS r (
            id uuid, deadline timestamptz, state text, delay float8, attempt jsonb
        )
    ),
    webhook AS (
        UPDATE webhooks SET is_slow = $5,
            failing_runs = CASE WHEN version = $7 THEN $3 ELSE failing_runs END,
            paused_until = CASE WHEN version = $7 THEN now() + $4 ELSE paused_until END,
            last_success_at = CASE WHEN $6 THEN now() ELSE last_success_at END
        WHERE id = $1
    )
    UPDATE deliveries AS d
    SET state = r.state, attempt_count = d.attempt_count + 1,
        attempts = CASE WHEN jsonb_array_length(d.attempts) >= {ATTEMPTS_KEPT}
            THEN d.attempts - 0 ELSE d.attempts END || r.attempt,
        next_attempt_at = now() + r.delay * interval '1 second',
        settled_at = CASE WHEN r.state <> 'waiting' THEN now() END, updated_at = now()
    FROM result AS r
    WHERE d.id = r.id AND d.state = 'waiting'
        AND (d.deadline = r.deadline OR r.state = 'delivered')
    RETURNING d.id
"""  # noqa: S608 - of a number in the code
_DISABLE = """
    UPDATE webhooks SET disabled_reason = $2, disabled_at = now(), version = version + 1,
        updated_at = now()
    WHERE id = $1 AND version = $3 AND disabled_reason IS NULL
    RETURNING version
"""
# The owner may have enabled it since it was read. While the row is locked, nobody does.
_FAIL_WAITING = """
    WITH disabled AS MATERIALIZED (
        SELECT id FROM webhooks WHERE id = $1 AND disabled_reason IS NOT NULL FOR NO KEY UPDATE
    )
    UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, settled_at = now(),
        updated_at = now()
    WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries
        WHERE webhook_id = (SELECT id FROM disabled) AND state = 'waiting'
        ORDER BY next_attempt_at LIMIT $2
    ))
    RETURNING id, notification_id
"""
_NEXT = """
    SELECT greatest(d.at, w.paused_until) - now() AS delay
    FROM (
        SELECT next_attempt_at AS at FROM deliveries
        WHERE webhook_id = $1 AND state = 'waiting' ORDER BY next_attempt_at LIMIT 1
    ) AS d
    JOIN webhooks AS w ON w.id = $1
"""
_OF_USER = """
    SELECT id, webhook_id, type, state, attempt_count, created_at, settled_at FROM deliveries
    WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3
"""
_ERASE_OF_USER = """
    DELETE FROM deliveries WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries WHERE user_id = $1 ORDER BY id LIMIT $2
    ))
"""
_ERASE_OF_WEBHOOK = """
    DELETE FROM deliveries WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries WHERE webhook_id = $1 ORDER BY created_at LIMIT $2
    ))
"""
_PAGE = 100
_prune = rows_older_than(DELIVERIES_KEPT, "deliveries", "settled_at", also="state <> 'waiting'")


class DeliveryRepository:
    """Reads and writes deliveries in one transaction."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def enqueue(self, notices: Sequence[Mapping[str, Any]]) -> bool:
        """Write the deliveries of notices, and the jobs that send them, in one statement.

        Returns:
            Whether there is any delivery.

        Args:
            notices: the columns of the part ``notice`` of the statement, without ``place``.
        """
        placed = [{**notice, "place": place} for place, notice in enumerate(notices)]
        return await self._unit.execute(_ENQUEUE, json.dumps(placed, default=str), LONGEST) > 0

    async def add_test(
        self, delivery_id: UUID, *, webhook_id: UUID, user_id: UUID, type_: str, payload: str
    ) -> None:
        """Write the delivery of a test call."""
        await self._unit.execute(
            _ADD_TEST, delivery_id, webhook_id, user_id, type_, payload, LONGEST
        )

    async def begin_again(self, delivery_id: UUID, *, webhook_id: UUID, user_id: UUID) -> bool:
        """Let a delivery be sent again, with all its attempts; return False if there is none."""
        return await self._unit.execute(_AGAIN, delivery_id, webhook_id, user_id, LONGEST) > 0

    async def find(self, delivery_id: UUID, *, webhook_id: UUID, user_id: UUID) -> Delivery | None:
        """Return a delivery to a user's webhook, or None."""
        return await self._unit.session.scalar(
            select(Delivery)
            .where(
                Delivery.id == delivery_id,
                Delivery.webhook_id == webhook_id,
                Delivery.user_id == user_id,
            )
            .execution_options(populate_existing=True)
        )

    async def page(
        self, webhook_id: UUID, wanted: PageRequest[TimePosition]
    ) -> PageRows[Delivery, TimePosition]:
        """Return a page of a webhook's deliveries, newest first."""
        of_webhook = select(Delivery).where(Delivery.webhook_id == webhook_id)
        return await _NEWEST_FIRST.page(self._unit.session, of_webhook, wanted)

    async def record(
        self, target: Target, results: Sequence[Mapping[str, Any]], state: WebhookState
    ) -> set[UUID]:
        """Record attempts, and the state of the webhook after them, in one statement.

        Deliveries that were erased, or that were settled meanwhile, are left out, and so are
        failures of those that began again. If its owner has changed the webhook since, its failures
        and its pause stay as they are.

        Args:
            target: the webhook as it was called.
            results: the columns of the part ``result`` of the statement.
            state: the new state.

        Returns:
            The deliveries whose attempts were recorded.
        """
        rows = await self._unit.fetch(
            _RECORD,
            target.id,
            json.dumps(results, default=str),
            state.failing_runs,
            state.pause,
            state.is_slow,
            state.succeeded,
            target.version,
        )
        return {row["id"] for row in rows}

    async def disable(self, target: Target, reason: DisabledReason) -> int | None:
        """Disable a webhook, and return its version after that.

        Returns:
            None if its owner has changed, disabled or deleted it since it was read.
        """
        rows = await self._unit.fetch(_DISABLE, target.id, reason.value, target.version)
        return rows[0]["version"] if rows else None

    async def fail_waiting(self, webhook_id: UUID, *, limit: int) -> list[UUID | None]:
        """Give up what waits for a webhook that is disabled, `limit` at most.

        Returns:
            Their notifications; nothing if the webhook is enabled.
        """
        rows = await self._unit.fetch(_FAIL_WAITING, webhook_id, limit)
        return [row["notification_id"] for row in rows]

    async def next_delay(self, webhook_id: UUID) -> timedelta | None:
        """Return the time until the next delivery may be sent; None if none waits."""
        rows = await self._unit.fetch(_NEXT, webhook_id)
        return rows[0]["delay"] if rows else None

    async def erase_of_user(self, user_id: UUID, *, limit: int) -> int:
        """Delete deliveries of a user, at most `limit`, and return how many."""
        return await self._unit.execute(_ERASE_OF_USER, user_id, limit)

    async def erase_of_webhook(self, webhook_id: UUID, *, limit: int) -> int:
        """Delete deliveries of a webhook, at most `limit`, and return how many."""
        return await self._unit.execute(_ERASE_OF_WEBHOOK, webhook_id, limit)

    async def prune(self, *, limit: int) -> int:
        """Delete deliveries that were settled over DELIVERIES_KEPT ago; return how many."""
        return await _prune(self._unit, limit)

    async def each_of(self, user_id: UUID) -> AsyncIterator[Mapping[str, Any]]:
        """Yield what is kept of the deliveries of a user, without their payloads."""
        after = UUID(int=0)
        while rows := await self._unit.fetch(_OF_USER, user_id, after, _PAGE):
            for row in rows:
                yield dict(row)
            after = rows[-1]["id"]


async def read_due(
    statements: Statements, webhook_id: UUID, *, limit: int
) -> tuple[Target, list[DueDelivery]] | None:
    """Return a webhook with its due deliveries; None if it was deleted.

    Of a webhook that fails, it returns one delivery at most.
    """
    rows = await statements.fetch(_DUE, webhook_id, limit)
    if not rows:
        return None
    first = rows[0]
    target = Target(
        id=first["id"],
        user_id=first["user_id"],
        url=first["url"],
        secrets=[
            secret for secret in (first["secret"], first["previous_secret"]) if secret is not None
        ],
        enabled=first["disabled_reason"] is None,
        pause=first["pause"],
        failing_runs=first["failing_runs"],
        is_slow=first["is_slow"],
        last_success_at=first["last_success_at"],
        version=first["version"],
    )
    due = [
        DueDelivery(
            id=row["delivery_id"],
            notification_id=row["notification_id"],
            payload=row["payload"],
            attempt_count=row["attempt_count"],
            deadline=row["deadline"],
            is_overdue=row["is_overdue"],
            created_at=row["created_at"],
        )
        for row in rows
        if row["delivery_id"] is not None
    ]
    return target, due
