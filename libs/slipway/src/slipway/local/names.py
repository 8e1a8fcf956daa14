"""Find names in `.env` that are nearly those of settings: nothing reads them or complains."""

import re
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from chassis.settings_file import names_in, settings_file
from slipway.checks import Check, Grade
from slipway.settings import BootstrapSettings, DoctorSettings, SlipwaySettings

_NAME = "settings in .env"
_LISTED = re.compile(r"^# ([A-Z][A-Z0-9_]*)=", re.MULTILINE)
_OF_COMPOSE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)")
_ALIKE = 0.85
"""One letter too many, too few or wrong, or two that changed places, in a name of ten letters."""


def name_check(root: Path) -> Check:
    """Return the check of the names in `.env`, by those of `.env.example` and of Compose.

    Args:
        root: the top of the repository.
    """
    file = settings_file(root)
    if not file.is_file():
        return Check(_NAME, Grade.OK, "there is no such file")
    names = Counter(name.upper() for name in names_in(file))
    faults = [*_misspelt(names, _known(root)), *_repeated(names)]
    if not faults:
        return Check(_NAME, Grade.OK, f"{len(names)} names")
    mend = "Correct it: what no process reads has no effect."
    return Check(_NAME, Grade.WARNING, "; ".join(faults), mend)


def _misspelt(names: Counter[str], known: set[str]) -> Iterator[str]:
    for name in sorted(names.keys() - known):
        for meant in get_close_matches(name, known, n=1, cutoff=_ALIKE):
            yield f"{name} is no setting: is {meant} meant?"


def _repeated(names: Counter[str]) -> Iterator[str]:
    for name, count in sorted(names.items()):
        if count > 1:
            yield f"{name} is there {count} times: the last one counts"


def _known(root: Path) -> set[str]:
    classes = (SlipwaySettings, DoctorSettings, BootstrapSettings)
    names = {name.upper() for kind in classes for name in kind.model_fields}
    for file, pattern in ((".env.example", _LISTED), ("docker-compose.yml", _OF_COMPOSE)):
        if (root / file).is_file():
            names |= set(pattern.findall((root / file).read_text(encoding="utf-8")))
    return names
