"""The texts of notifications in the app, and the counter of what became of notifications."""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter

from notifications.catalogues.service import Catalogue
from notifications.kinds.models import Channel, NotificationKind, NotificationText, Outcome

_TEMPLATES = Path(__file__).with_name("templates")
_OUTCOMES: Mapping[Channel, tuple[Outcome, ...]] = {
    Channel.IN_APP: (Outcome.CREATED,),
    Channel.EMAIL: (Outcome.DELIVERED, Outcome.FAILED),
    Channel.WEBHOOK: (Outcome.DELIVERED, Outcome.FAILED),
}


class NotificationTexts:
    """The titles and bodies of notifications, in plain text.

    It reads all templates once, so construct it outside the event loop.

    Args:
        directory: the folder of the languages' folders, each with KIND.title and KIND.body.

    Attributes:
        languages: those that have texts.
    """

    def __init__(self, directory: Path = _TEMPLATES) -> None:
        self._catalogue = Catalogue(directory, forms=("title", "body"))
        self.languages = self._catalogue.languages

    def text(
        self, kind: NotificationKind, data: Mapping[str, object], *, locale: str
    ) -> NotificationText:
        """Return the text of a notification in the language that is closest to `locale`.

        Raises:
            jinja2.UndefinedError: a template of the kind uses a name that `data` lacks.
        """
        language = self._catalogue.closest(locale)
        title = self._catalogue.render(language, kind.template, "title", data)
        body = self._catalogue.render(language, kind.template, "body", data)
        return NotificationText(language=language, title=title.strip(), body=body.strip())


class NotificationMetrics:
    """Counts what became of notifications, by channel."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
            "notifications_total",
            "Notifications by channel and outcome: created (in_app), delivered or failed.",
            ["channel", "outcome"],
            registry=registry,
        )
        for channel, outcomes in _OUTCOMES.items():
            for outcome in outcomes:
                self._outcomes.labels(channel.value, outcome.value)

    def count(self, channel: Channel, outcome: Outcome, times: int = 1) -> None:
        """Count notifications; call it after the commit."""
        self._outcomes.labels(channel.value, outcome.value).inc(times)
