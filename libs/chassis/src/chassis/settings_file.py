"""The file of settings, `.env`: where it is, and what in it can't be read."""

import io
import os
from pathlib import Path

from dotenv.parser import parse_stream

ENCODING = "utf-8-sig"
"""UTF-8, with or without the mark that Windows' editors put at its begin."""


def settings_file(directory: Path) -> Path:
    """Return the file of settings: `.env` in `directory`, or what SETTINGS_FILE names."""
    named = os.environ.get("SETTINGS_FILE")
    return directory / ".env" if named is None else Path(named)


def faults_of(file: Path) -> list[str]:
    """Return what in the file can't be read, a sentence each; none if there is no file.

    python-dotenv skips such lines, so that a setting would silently keep its default. The sentences
    have no part of the lines: they may be secrets.
    """
    if not file.is_file():
        return []
    try:
        text = file.read_text(encoding=ENCODING)
    except UnicodeDecodeError:
        return [f"{file} is not UTF-8. Save it as UTF-8; PowerShell writes UTF-16 by default."]
    except OSError as error:
        return [f"{file} can't be read: {error.strerror}. Make it readable for this user."]
    return [
        f"{file}, line {found.original.line}: not NAME=value. Put a # before what is a comment, "
        "and close each quotation mark."
        for found in parse_stream(io.StringIO(text))
        if found.error or (found.key is not None and found.value is None)
    ]


def names_in(file: Path) -> list[str]:
    """Return the names in the file, which must be one that can be read, in their order."""
    with file.open(encoding=ENCODING) as stream:
        return [found.key for found in parse_stream(stream) if found.key is not None]
