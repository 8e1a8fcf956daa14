"""The parameters of one function: read from the request and validated, as FastAPI does."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticUndefined
from starlette.requests import Request

from chassis.library_internals.fastapi import (
    Dependant,
    Errors,
    ModelField,
    name_of_scalar,
    validated,
    validated_parameters,
)

type Source = Callable[[Request], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A parameter that is one text in the request."""

    field: ModelField
    source: Source
    name: str
    location: tuple[str, ...]

    def read(self, request: Request, values: dict[str, Any]) -> Errors:
        """Add the valid value to `values`, or return errors."""
        text = self.source(request).get(self.name)
        given = PydanticUndefined if text is None else text
        value, errors = validated(self.field, given, self.location)
        if not errors:
            values[self.field.name] = value
        return errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Composite:
    """A parameter that is a list, or a model of several parameters."""

    field: ModelField
    source: Source

    def read(self, request: Request, values: dict[str, Any]) -> Errors:
        """Add the valid value to `values`, or return errors."""
        found, errors = validated_parameters(self.field, self.source(request))
        values.update(found)
        return errors


type Parameter = Scalar | Composite


def parameters_of(dependant: Dependant) -> tuple[Parameter, ...]:
    """Return the parameters of a function in the order in which FastAPI reports their errors."""
    return tuple(_parameters(dependant))


def _parameters(dependant: Dependant) -> Iterator[Parameter]:
    yield from _from(dependant.path_params, "path", lambda request: request.path_params)
    yield from _from(dependant.query_params, "query", lambda request: request.query_params)
    yield from _from(dependant.header_params, "header", lambda request: request.headers)
    yield from _from(dependant.cookie_params, "cookie", lambda request: request.cookies)


def _from(fields: Sequence[ModelField], place: str, source: Source) -> Iterator[Parameter]:
    for field in fields:
        name = name_of_scalar(field)
        if name is None:
            yield Composite(field=field, source=source)
        else:
            yield Scalar(field=field, source=source, name=name, location=(place, name))
