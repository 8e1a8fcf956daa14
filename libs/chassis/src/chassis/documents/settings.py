"""The document of all settings, ``.env.example``, from the settings classes."""

from collections.abc import Sequence

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

_HEAD = """\
# Every setting, with its default. Copy to `.env`, and change what you need.
# The environment wins over mounted secret files (SECRETS_DIRECTORY), and these over `.env`.
# `make up` hands each process what it needs by itself: an empty `.env` will do.
"""


def settings_text(classes: Sequence[type[BaseSettings]]) -> str:
    """Return the settings of `classes`: first those that several have, then each class's own."""
    holders: dict[str, list[type[BaseSettings]]] = {}
    for kind in classes:
        for name in kind.model_fields:
            holders.setdefault(name, []).append(kind)
    shared = [name for name, kinds in holders.items() if len(kinds) > 1]
    parts = [_HEAD, _section("Several processes", classes, shared)]
    for kind in classes:
        own = [name for name, kinds in holders.items() if kinds == [kind]]
        parts.append(_section(kind.__module__.partition(".")[0], classes, own))
    return "\n".join(part for part in parts if part)


def _section(title: str, classes: Sequence[type[BaseSettings]], names: Sequence[str]) -> str:
    if not names:
        return ""
    fields = {name: field for kind in classes for name, field in kind.model_fields.items()}
    entries = [_entry(name, fields[name]) for name in names]
    return f"# ---- {title} ----\n" + "\n".join(entries)


def _entry(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=False)
    if field.is_required():
        value, remark = "", " (required)"
    else:
        value, remark = _text(default), ""
    return f"# {field.description}{remark}\n# {name.upper()}={value}\n"


def _text(value: object) -> str:
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(getattr(value, "value", value))
