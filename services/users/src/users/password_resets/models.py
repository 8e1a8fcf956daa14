"""The arguments of the job that mails a password reset."""

from chassis.jobs import JobArguments


class MailPasswordReset(JobArguments):
    """Mail a reset to the account of an e-mail address, if there is one.

    Attributes:
        email: the address, which need not have an account.
        address: the network address of the client that asked.
        request_id: the id of its request.
    """

    kind = "users.mail-password-reset.v1"

    email: str
    address: str
    request_id: str
