"""The request body that confirms an address."""

from chassis.http import Shape
from users.one_time_tokens.schemas import MailToken


class EmailConfirmation(Shape):
    """The proof that a mail arrived."""

    token: MailToken
