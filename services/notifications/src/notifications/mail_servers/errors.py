"""Why a mail server did not accept a mail. No text quotes the server: it repeats addresses."""


class MailRejectedError(Exception):
    """The server refused this mail for good: the same mail would be refused again."""


class MailDeferredError(Exception):
    """The server did not accept the mail now. It may accept it later, or have accepted it."""
