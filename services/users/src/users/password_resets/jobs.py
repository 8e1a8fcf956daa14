"""The job that mails a password reset."""

from chassis.jobs import InsideRun
from chassis.wiring import ServiceResources
from users.password_resets.models import MailPasswordReset
from users.password_resets.wiring import password_reset_mails


async def mail_password_reset(
    arguments: MailPasswordReset, run: InsideRun[ServiceResources]
) -> None:
    """Mail a reset, if the address has an account."""
    await password_reset_mails(run.resources, run.unit).mail(arguments)
