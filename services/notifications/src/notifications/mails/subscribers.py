"""The handlers of events that ask for a mail. They send nothing: a job does, after the commit."""

from chassis.messaging import Delivery
from chassis.wiring import ServiceResources
from contracts.users import (
    EmailChangeNoticeRequested,
    EmailVerificationRequested,
    PasswordResetRequested,
    TokenMailRequest,
)
from notifications.mail_texts.models import MailKind
from notifications.mails.models import MailDraft
from notifications.mails.wiring import mails


async def on_email_verification_requested(
    event: EmailVerificationRequested, delivery: Delivery[ServiceResources]
) -> None:
    """Have the link sent that verifies an address."""
    await _request(MailKind.EMAIL_VERIFICATION, event, delivery)


async def on_password_reset_requested(
    event: PasswordResetRequested, delivery: Delivery[ServiceResources]
) -> None:
    """Have the link sent with which the user chooses a new password."""
    await _request(MailKind.PASSWORD_RESET, event, delivery)


async def on_email_change_notice_requested(
    event: EmailChangeNoticeRequested, delivery: Delivery[ServiceResources]
) -> None:
    """Have the user told at the previous address that the account has another one."""
    await mails(delivery.resources, delivery.unit).tell_of_change(
        event.user_id,
        previous_email=event.email,
        locale=event.locale,
        source_event_id=delivery.message.id,
    )


async def _request(
    kind: MailKind, event: TokenMailRequest, delivery: Delivery[ServiceResources]
) -> None:
    draft = MailDraft(
        kind=kind,
        user_id=event.user_id,
        source_event_id=delivery.message.id,
        recipient=event.email,
        locale=event.locale,
        token=event.token,
        expires_at=event.expires_at,
    )
    await mails(delivery.resources, delivery.unit).request(draft)
