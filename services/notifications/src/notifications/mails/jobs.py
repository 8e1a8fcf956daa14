"""The job that sends a mail, and the retention of mails."""

from chassis.database.unit import Unit
from chassis.jobs import OutsideRun
from notifications.mails.models import SendMail
from notifications.mails.repository import MailRepository
from notifications.mails.wiring import WorkerResources, mail_sending


async def send_mail(arguments: SendMail, run: OutsideRun[WorkerResources]) -> None:
    """Send a mail; if the server does not accept it now, the job is retried until it expires."""
    await mail_sending(run.resources).send(arguments.mail_id)


async def expire_mails(unit: Unit, limit: int) -> int:
    """Erase the addresses and secrets of mails that could not be sent in time."""
    return await MailRepository(unit).expire(limit=limit)


async def prune_mails(unit: Unit, limit: int) -> int:
    """Delete mails that were settled over MAILS_KEPT ago, and return how many."""
    return await MailRepository(unit).prune(limit=limit)
