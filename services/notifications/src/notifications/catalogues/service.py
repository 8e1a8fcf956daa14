"""Find the template of a text in the reader's language, and render it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

DEFAULT_LANGUAGE = "en"


class Catalogue:
    """Templates named ``LANGUAGE/NAME.FORM``: ``en/password-reset.subject``.

    It reads and compiles all of them once, so construct it outside the event loop.

    Args:
        directory: the folder of the languages' folders. A template in it has no language.
        forms: the extensions of the templates. HTML is escaped, and other forms are plain text.

    Attributes:
        languages: those that have templates.
    """

    def __init__(self, directory: Path, *, forms: tuple[str, ...]) -> None:
        self._environment, self._names = _compiled(directory, forms)
        self.languages = frozenset(name.partition("/")[0] for name in self._names if "/" in name)

    def closest(self, locale: str) -> str:
        """Return the closest language that has templates: `de-CH`, then `de` (RFC 4647 §3.4)."""
        parts = locale.lower().split("-")
        while parts:
            if (language := "-".join(parts)) in self.languages:
                return language
            parts.pop()
        return DEFAULT_LANGUAGE

    def render(
        self,
        language: str,
        name: str,
        form: str,
        values: Mapping[str, object],
        *,
        general: str | None = None,
    ) -> str:
        """Return a text; with `general`, the text of that name if there is none of `name`.

        Raises:
            jinja2.UndefinedError: the template uses a name that `values` lacks.
        """
        wanted = f"{language}/{name}.{form}"
        if general is not None and wanted not in self._names:
            wanted = f"{language}/{general}.{form}"
        return self._environment.get_template(wanted).render(values)


@cache
def _compiled(directory: Path, forms: tuple[str, ...]) -> tuple[Environment, frozenset[str]]:
    """Compile a folder's templates, once in a process as it takes long; return their names too."""
    environment = Environment(
        loader=FileSystemLoader(directory),
        autoescape=select_autoescape(enabled_extensions=["html"], default=False),
        undefined=StrictUndefined,
        auto_reload=False,
        cache_size=-1,
        trim_blocks=True,
    )
    environment.globals.clear()  # unused; copying them is half of the cost of a rendering
    names = frozenset(environment.list_templates(extensions=forms))
    for name in names:
        environment.get_template(name)  # one that is read later would block the event loop
    return environment, names
