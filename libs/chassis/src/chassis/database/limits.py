"""How long a unit of work may take: one number, from which every time limit is derived.

A handler may spend up to ``HANDLER_SECONDS`` on one message. It may spend all of that waiting for
something other than PostgreSQL, with its transaction open. So PostgreSQL must allow an idle
transaction for longer than that, and a whole transaction for as long as a wait for a lock, the
handler and the commit together. If PostgreSQL's limit were shorter than the handler's, it would end
the connection of a handler that is within its time. That counts as an infrastructure error, so the
message would be retried without limit.

    LOCK + HANDLER + COMMIT = TRANSACTION        HANDLER + COMMIT = IDLE        BATCH < TRANSACTION
"""

HANDLER_SECONDS = 20.0
"""The longest `time_limit` that a subscription may declare."""

LOCK_SECONDS = HANDLER_SECONDS / 4
"""The longest wait for a lock: the role's ``lock_timeout``."""

COMMIT_SECONDS = HANDLER_SECONDS / 4
"""The time for the steps after the handler: the outbox, the flush, the commit."""

IDLE_SECONDS = HANDLER_SECONDS + COMMIT_SECONDS
"""The longest time that a transaction may be idle: ``idle_in_transaction_session_timeout``."""

TRANSACTION_SECONDS = LOCK_SECONDS + HANDLER_SECONDS + COMMIT_SECONDS
"""The longest transaction: ``transaction_timeout``."""

BATCH_SECONDS = TRANSACTION_SECONDS / 2
"""The longest time for a batch of messages; after it, they are handled one by one."""


def milliseconds(seconds: float) -> str:
    """Return a time limit as PostgreSQL reads it: whole milliseconds, at least 1, as 0 is none.

    Args:
        seconds: the limit.
    """
    return str(max(1, round(seconds * 1000)))
