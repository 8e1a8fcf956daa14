"""Why a mail server did not accept a mail. No text quotes the server: it repeats addresses."""


class MailRejectedError(Exception):
    """The server refused this mail for good: the same mail would be refused again.

    Args:
        reason: what was refused, with the server's code.
        address_refused: whether the address itself is the reason, so that any other mail to it
            would be refused as well.
    """

    def __init__(self, reason: str, *, address_refused: bool = False) -> None:
        super().__init__(reason)
        self.address_refused = address_refused


class MailDeferredError(Exception):
    """The server did not accept the mail now. It may accept it later, or have accepted it."""


class NoMailServerError(Exception):
    """No mail server is set."""
