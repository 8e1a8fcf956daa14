"""The request body that completes a reset."""

from chassis.http import Shape
from users.accounts.schemas import Password
from users.one_time_tokens.schemas import MailToken


class NewPassword(Shape):
    """The proof that a mail arrived, and the password from now on."""

    token: MailToken
    new_password: Password
