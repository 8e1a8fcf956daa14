"""Passwords, and the mails that prove an address or replace a password."""

from client.calls import Calls
from client.tokens import Token


class PasswordCalls(Calls):
    """The calls that concern passwords and mailed tokens.

    A request for a mail reveals nothing about accounts: it succeeds whether there is one or not.
    """

    async def change_password(self, token: Token, *, current: str, new: str) -> None:
        """Replace one's own password. All other log-in sessions end."""
        body = {"current_password": current, "new_password": new}
        await self.send("PUT", "/users/me/password", token=token, json=body)

    async def request_password_reset(self, email: str) -> None:
        """Ask for a mail with a token that replaces a forgotten password."""
        await self.send("POST", "/password-resets", json={"email": email})

    async def reset_password(self, mailed_token: str, *, new: str) -> None:
        """Replace a forgotten password. All log-in sessions end. The token works once."""
        body = {"token": mailed_token, "new_password": new}
        await self.send("POST", "/password-resets/confirm", json=body)

    async def request_email_verification(self, email: str) -> None:
        """Ask for a mail with a token that confirms the address."""
        await self.send("POST", "/email-verifications", json={"email": email})

    async def confirm_email(self, mailed_token: str) -> None:
        """Confirm an address with the token that was mailed to it. The token works once."""
        await self.send("POST", "/email-verifications/confirm", json={"token": mailed_token})
