"""The handlers of events that ask for a mail. They send nothing: a job does, after the commit."""

from chassis.messaging import Delivery
from chassis.wiring import ServiceResources
from contracts.users import EmailVerificationRequested, MailRequest, PasswordResetRequested
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


async def _request(
    kind: MailKind, event: MailRequest, delivery: Delivery[ServiceResources]
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
