"""Use cases of mails: ask for one in a transaction, and send one outside of any."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter

from chassis.database import is_infrastructure_error
from chassis.jobs import Jobs
from chassis.loops import until_success
from notifications.feed.service import Feed
from notifications.mail_servers.errors import MailDeferredError, MailRejectedError
from notifications.mail_servers.service import MailServer
from notifications.mail_texts.errors import UnfitAddressError
from notifications.mail_texts.models import MailContent, MailKind
from notifications.mail_texts.service import MailTexts
from notifications.mails.models import NOTICE_KEPT, MailDraft, MailState, SendMail
from notifications.mails.repository import MailRepository

log = structlog.get_logger(__name__)

_DEFERRED = "deferred"


class MailService:
    """The mails of one transaction.

    Args:
        mails: their repository.
        feed: knows whether the account of a user was deleted.
        jobs: the jobs of the same transaction.
    """

    def __init__(self, *, mails: MailRepository, feed: Feed, jobs: Jobs) -> None:
        self._mails = mails
        self._feed = feed
        self._jobs = jobs

    async def request(self, draft: MailDraft) -> None:
        """Have a mail sent if the transaction commits; once for each event.

        Nothing is stored for a user whose account was deleted: the request may come from another
        topic or be redriven, and so be handled later than the deletion. The lock keeps the account
        from being deleted between this check and the commit.
        """
        if not await self._feed.lock_open(draft.user_id):
            return
        mail_id = await self._mails.insert(draft)
        if mail_id is not None:
            await self._jobs.enqueue(SendMail(mail_id=mail_id))

    async def tell_of_change(
        self, user_id: UUID, *, previous_email: str, locale: str, source_event_id: str
    ) -> None:
        """Tell a user at their previous address that the account has another one.

        The mail names neither the user nor the new address: if the previous one was never verified,
        a stranger may read it.
        """
        draft = MailDraft(
            kind=MailKind.EMAIL_CHANGED,
            user_id=user_id,
            source_event_id=source_event_id,
            recipient=previous_email,
            locale=locale,
            token=None,
            expires_at=datetime.now(UTC) + NOTICE_KEPT,
        )
        await self.request(draft)

    async def erase(self, user_id: UUID) -> None:
        """Erase all mails of a user; those that wait are not sent."""
        await self._mails.erase(user_id)


class MailMetrics:
    """Counts what became of mails."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._mails = Counter(
            "mails_total",
            "Attempts to send a mail, by their outcome: sent, rejected, deferred or expired.",
            ["kind", "outcome"],
            registry=registry,
        )
        for kind in MailKind:
            for outcome in (MailState.SENT, MailState.REJECTED, MailState.EXPIRED, _DEFERRED):
                self._mails.labels(kind.value, str(outcome))

    def count(self, kind: MailKind, outcome: str) -> None:
        """Count one attempt."""
        self._mails.labels(kind.value, outcome).inc()


class MailSending:
    """Sends mails outside a transaction: at least once, always with the same Message-ID.

    If the worker dies, or its connection ends, between the server's acceptance and the record of
    it, the mail is sent again.

    Args:
        transaction: opens a transaction and returns its mails.
        texts: makes the messages.
        server: accepts them.
        metrics: counts the outcomes.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractAsyncContextManager[MailRepository]],
        texts: MailTexts,
        server: MailServer,
        metrics: MailMetrics,
    ) -> None:
        self._transaction = transaction
        self._texts = texts
        self._server = server
        self._metrics = metrics

    async def send(self, mail_id: UUID) -> None:
        """Send a mail, and erase its address and secret; do nothing if it is settled or erased.

        Raises:
            MailDeferredError: the server did not accept it now.
        """
        async with self._transaction() as mails:
            waiting = await mails.find_waiting(mail_id)
        if waiting is None:
            return
        if waiting.expired:
            await self._settle(waiting.content, MailState.EXPIRED)
            return
        try:
            await self._deliver(waiting.content)
        except (MailRejectedError, UnfitAddressError) as error:
            await self._settle(waiting.content, MailState.REJECTED, error=str(error))
        except MailDeferredError:
            self._metrics.count(waiting.content.kind, _DEFERRED)
            raise
        else:
            await self._settle(waiting.content, MailState.SENT)

    async def _deliver(self, content: MailContent) -> None:
        message = self._texts.message(content)
        [recipient] = message["To"].addresses
        await self._server.send(
            message, sender=self._texts.sender_address, recipient=recipient.addr_spec
        )

    async def _settle(
        self, content: MailContent, state: MailState, *, error: str | None = None
    ) -> None:
        """Record what became of a mail; retry while PostgreSQL is unavailable.

        An error here would have the job run again, and so send the mail again.
        """

        async def record() -> bool:
            async with self._transaction() as mails:
                return await mails.settle(content.id, state, error=error)

        ours = await until_success(record, name="mail record", passes=is_infrastructure_error)
        self._metrics.count(content.kind, state.value)
        tell = log.info if state is MailState.SENT else log.warning
        tell(
            "mail settled",
            mail_id=str(content.id),
            kind=content.kind.value,
            state=state.value,
            recorded=ours,
            error=error,
        )
