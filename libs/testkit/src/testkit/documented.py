"""Reads the commands that documents name."""

import re
import shlex
from collections.abc import Container, Iterator
from itertools import groupby

SEPARATORS = frozenset({"$", "|", "&&", "||", ";", ">"})
_FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")


def code_of(text: str) -> Iterator[str]:
    """Yield the lines of fenced blocks, those that go on joined, and the inline spans."""
    for block in _FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    for span in _SPAN.findall(_FENCE.sub("", text)):
        yield " ".join(span.split())


def commands_of(code: str) -> Iterator[list[str]]:
    """Yield the words of each command of a line."""
    try:
        words = shlex.split(code, comments=True)
    except ValueError:  # it is no shell command: an apostrophe in a log line
        return
    for separates, command in groupby(words, SEPARATORS.__contains__):
        if not separates:
            yield list(command)


def calls_of(code: str, program: str, names: Container[str]) -> Iterator[list[str]]:
    """Yield the arguments of each call of a program.

    In the middle of a command it may be another word, as in `helm install slipway helm/slipway`. So
    there one of `names` must follow.
    """
    for command in commands_of(code):
        for place, word in enumerate(command):
            arguments = command[place + 1 :]
            if word in {program, f".venv/bin/{program}"} and arguments:
                begins = place == 0 and re.match(r"[a-zA-Z-]", arguments[0])
                if begins or arguments[0] in names:
                    yield arguments
