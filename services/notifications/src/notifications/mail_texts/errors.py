"""The errors of mails' texts."""


class UnfitAddressError(Exception):
    """No mail can be addressed to this address."""
