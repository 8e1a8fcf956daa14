"""The arguments of the job that mails a verification."""

from uuid import UUID

from chassis.jobs import JobArguments


class MailVerification(JobArguments):
    """Have an account verify its e-mail address, if it has not done so.

    A registration names its account: a finished job is kept for a day, and must not keep the
    address of an account that was deleted meanwhile. Other requests name an address, since whether
    it has an account is found out only by the job.

    Attributes:
        email: the address, which need not have an account.
        user_id: the account, in place of its address.
    """

    kind = "users.mail-verification.v1"

    email: str | None = None
    user_id: UUID | None = None
