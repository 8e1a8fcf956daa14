"""Turns failed API calls into error texts for the user."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from client import ClientError
from slipway.errors import SlipwayError, leaves

_REFUSALS = (ClientError, httpx.HTTPError)


@contextmanager
def refusals_of(what: str) -> Iterator[None]:
    """Raise the first rejected call, also in a group, as a SlipwayError that begins with `what`."""
    try:
        yield
    except (*_REFUSALS, ExceptionGroup) as error:
        cause = leaves(error)[0]
        if isinstance(cause, SlipwayError):
            raise cause from error
        if not isinstance(cause, _REFUSALS):
            raise
        text = str(cause) or type(cause).__name__
        message = f"{what}: {text} See what runs: `slipway status`."
        raise SlipwayError(message) from error
