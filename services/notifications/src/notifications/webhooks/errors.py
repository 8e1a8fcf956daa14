"""The errors of webhooks."""

from chassis.errors import Conflict, NotFound, Unavailable


class WebhookNotFound(NotFound):
    """You have no such webhook.

    Or it is somebody else's: the caller can't tell which.
    """


class TooManyWebhooks(Conflict):
    """The account has as many webhooks as it may have."""


class WebhookDisabled(Conflict):
    """The webhook is disabled."""


class WebhooksUnavailable(Unavailable):
    """This system sends no webhooks now.

    The service has no key, or not the one that the webhook's secret is encrypted with.
    """
