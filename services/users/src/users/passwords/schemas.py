"""The request bodies of passwords."""

from chassis.http import Shape
from users.accounts.schemas import Password
from users.log_ins.schemas import Given


class PasswordReplacement(Shape):
    """The current password, and the new one."""

    current_password: Given
    new_password: Password
