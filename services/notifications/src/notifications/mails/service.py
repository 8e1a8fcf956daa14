"""Use cases of mails: ask for one in a transaction, and send one outside of any."""

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter

from chassis.database import is_infrastructure_error, new_id
from chassis.jobs import Jobs, PostponedError
from chassis.loops import until_success
from notifications.feed.service import Feed
from notifications.kinds.models import KINDS, Category, Channel, Notice
from notifications.mail_servers.errors import (
    MailDeferredError,
    MailRejectedError,
    NoMailServerError,
)
from notifications.mail_servers.service import MailServer
from notifications.mail_texts.errors import UnfitAddressError
from notifications.mail_texts.models import MailContent, MailKind, NoticeContent
from notifications.mail_texts.service import MailTexts
from notifications.mails.models import NOTICE_KEPT, MailDraft, MailState, SendMail, WaitingMail
from notifications.mails.repository import MailRepository
from notifications.outcomes.models import ChannelOutcome
from notifications.outcomes.service import OutcomeService
from notifications.recipients.models import MailRate
from notifications.recipients.repository import RecipientRepository
from notifications.unsubscriptions.models import UnsubscribeTokens, Unsubscription

log = structlog.get_logger(__name__)

# The system's generator: code that seeds Python's own must not be affected.
_CHANCE = random.SystemRandom()
_DEFERRED = "deferred"
_POSTPONED = "postponed"
_WITHOUT_SERVER = timedelta(minutes=5)  # until a worker may have been restarted with a server
_EXPIRED = "The mail server did not accept the mail in time."
_NOT_ALLOWED = (
    "The address is not verified any more, a mail server has refused it, or the account was "
    "deactivated."
)


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

    async def send_notices(self, notices: Sequence[Notice]) -> None:
        """Have notifications sent by mail to those who want it, once for each notification.

        A user gets it at a verified address that no mail server has refused, while the account is
        active. It is one statement
        for any number of notifications, and none if none has the channel.
        """
        rows = [_row(notice) for notice in notices if Channel.EMAIL in notice.channels]
        if rows and await self._mails.insert_notices(rows, kept=NOTICE_KEPT):
            self._jobs.hint(SendMail)

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

    async def erase_waiting(self, user_id: UUID) -> None:
        """Erase the mails of a user that wait, with their addresses: they are not sent."""
        await self._mails.erase_waiting(user_id)

    async def erase(self, user_id: UUID, *, limit: int) -> int:
        """Delete mails of a user, at most `limit`, and return how many."""
        return await self._mails.erase(user_id, limit=limit)


def _row(notice: Notice) -> dict[str, Any]:
    return {
        "id": new_id(),
        "user_id": notice.user_id,
        "source_event_id": f"{notice.source_event_id}/{notice.user_id}",
        "kind": KINDS[notice.type].template,
        "locale": notice.locale,
        "notification_id": notice.id,
        "category": notice.category.value,
        "content": {"title": notice.title, "body": notice.body, "data": dict(notice.data)},
        "created_at": notice.created_at,
        "traceparent": notice.traceparent,
    }


class MailMetrics:
    """Counts what became of mails."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._mails = Counter(
            "mails_total",
            "Attempts to send a mail, by their outcome: sent, rejected, expired, deferred (by the "
            "server, or because none is set) or postponed (by the user's rate of mails).",
            ["kind", "outcome"],
            registry=registry,
        )
        templates = (kind.template for kind in KINDS.values() if Channel.EMAIL in kind.channels)
        outcomes = (MailState.SENT, MailState.REJECTED, MailState.EXPIRED, _DEFERRED, _POSTPONED)
        for kind in (*MailKind, *templates):
            for outcome in outcomes:
                self._mails.labels(str(kind), str(outcome))

    def count(self, kind: str, outcome: str) -> None:
        """Count one attempt."""
        self._mails.labels(kind, outcome).inc()


@dataclass(frozen=True, slots=True, kw_only=True)
class MailStores:
    """What one transaction of a mail's sending reads and writes."""

    mails: MailRepository
    recipients: RecipientRepository
    outcomes: OutcomeService


class MailSending:
    """Sends mails outside a transaction: at least once, always with the same Message-ID.

    If the worker dies, or its connection ends, between the server's acceptance and the record of
    it, the mail is sent again.

    Args:
        transaction: opens a transaction and returns its repositories.
        texts: makes the messages.
        tokens: signs the tokens that switch mails off.
        server: accepts the messages.
        rate: how many notifications a user gets by mail, in all workers together.
        metrics: counts the outcomes.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractAsyncContextManager[MailStores]],
        texts: MailTexts,
        tokens: UnsubscribeTokens,
        server: MailServer,
        rate: MailRate,
        metrics: MailMetrics,
    ) -> None:
        self._transaction = transaction
        self._texts = texts
        self._tokens = tokens
        self._server = server
        self._rate = rate
        self._metrics = metrics

    async def send(self, mail_id: UUID) -> None:
        """Send a mail, and erase its address and secret; do nothing if it is settled or erased.

        Raises:
            MailDeferredError: the server did not accept it now.
            PostponedError: the user has got as many mails as the rate allows, or no server is set.
        """
        mail = await self._begin(mail_id)
        if mail is None:
            return
        if mail.expired:
            await self._settle(mail, MailState.EXPIRED)
        elif mail.recipient is None:  # the account was deleted while the row was written
            async with self._transaction() as stores:
                await stores.mails.erase_waiting(mail.user_id)
        elif not mail.allowed:
            await self._settle(mail, MailState.REJECTED, error=_NOT_ALLOWED)
        else:
            await self._deliver(mail, mail.recipient)

    async def _begin(self, mail_id: UUID) -> WaitingMail | None:
        """Return a mail that waits, and count it against its user's rate."""
        async with self._transaction() as stores:
            mail = await stores.mails.find_waiting(mail_id)
            if mail is None or not mail.is_bounded or mail.expired or not mail.allowed:
                return mail
            wait = await stores.recipients.take_turn(mail.user_id, self._rate)
        if wait is None:
            return mail
        self._metrics.count(mail.kind, _POSTPONED)
        # At random, because all mails of the user that wait would come at the same time.
        raise PostponedError(wait + self._rate.window * _CHANCE.random())

    async def _deliver(self, mail: WaitingMail, recipient: str) -> None:
        try:
            message = self._texts.message(self._content(mail, recipient))
            [address] = message["To"].addresses
            await self._server.send(
                message, sender=self._texts.sender_address, recipient=address.addr_spec
            )
        except UnfitAddressError as error:
            await self._settle(mail, MailState.REJECTED, error=str(error), refused=recipient)
        except MailRejectedError as error:
            refused = recipient if error.address_refused else None
            await self._settle(mail, MailState.REJECTED, error=str(error), refused=refused)
        except MailDeferredError:
            self._metrics.count(mail.kind, _DEFERRED)
            raise
        except NoMailServerError as error:
            # The worker has logged it once. A failed attempt would log an error for each mail, and
            # dead jobs would hide those that are a fault.
            self._metrics.count(mail.kind, _DEFERRED)
            raise PostponedError(_WITHOUT_SERVER) from error
        else:
            await self._settle(mail, MailState.SENT)

    def _content(self, mail: WaitingMail, recipient: str) -> MailContent:
        return MailContent(
            id=mail.id,
            kind=mail.kind,
            recipient=recipient,
            locale=mail.locale,
            token=mail.token,
            expires_at=mail.expires_at,
            created_at=mail.created_at,
            notice=None if mail.content is None else self._notice(mail),
        )

    def _notice(self, mail: WaitingMail) -> NoticeContent:
        token = None
        if mail.category is not None and mail.category is not Category.SECURITY:
            unsubscription = Unsubscription(user_id=mail.user_id, category=mail.category)
            token = self._tokens.sign(unsubscription)
        return NoticeContent(**(mail.content or {}), unsubscribe_token=token)

    async def _settle(
        self,
        mail: WaitingMail,
        state: MailState,
        *,
        error: str | None = None,
        refused: str | None = None,
    ) -> None:
        """Record what became of a mail; retry while PostgreSQL is unavailable.

        An error here would have the job run again, and so send the mail again.

        Args:
            mail: the mail.
            state: what became of it.
            error: why it was not accepted.
            refused: the address, if it is the reason. Only security mails go to it from now on.
        """

        async def record() -> bool:
            async with self._transaction() as stores:
                ours = await stores.mails.settle(mail.id, state, error=error)
                if ours and refused is not None:
                    await stores.recipients.refuse_email(mail.user_id, refused)
                if ours and mail.notification_id is not None:
                    failure = None if state is MailState.SENT else error or _EXPIRED
                    await stores.outcomes.announce([_outcome(mail.notification_id, mail, failure)])
                return ours

        ours = await until_success(record, name="mail record", passes=is_infrastructure_error)
        self._metrics.count(mail.kind, state.value)
        log.log(
            logging.INFO if state is MailState.SENT else logging.WARNING,
            "mail settled",
            mail_id=str(mail.id),
            kind=mail.kind,
            state=state.value,
            recorded=ours,
            error=error,
        )


def _outcome(notification_id: UUID, mail: WaitingMail, failure: str | None) -> ChannelOutcome:
    return ChannelOutcome(
        notification_id=notification_id,
        user_id=mail.user_id,
        channel=Channel.EMAIL,
        failure=failure,
    )
