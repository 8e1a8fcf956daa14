"""The job that mails a verification."""

from chassis.jobs import InsideRun
from chassis.wiring import ServiceResources
from users.email_verifications.models import MailVerification
from users.email_verifications.wiring import verification_mails


async def mail_verification(arguments: MailVerification, run: InsideRun[ServiceResources]) -> None:
    """Mail a verification, if the address has an account that needs one."""
    use_cases = verification_mails(run.resources, run.unit)
    if arguments.user_id is not None:
        await use_cases.mail_to_account(arguments.user_id)
    elif arguments.email is not None:
        await use_cases.mail(arguments.email)
