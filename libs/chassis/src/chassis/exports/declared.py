"""The declaration of an export: one name in the document that a person gets of their own data."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from chassis.database.unit import Unit
from chassis.wiring import ServiceResources

type ReadItems[R] = Callable[[Unit, R, UUID], AsyncIterator[Any]]
"""Yields what is held of a person: the arguments are transaction, resources and the person's id.

It reads page by page, because a person may have any number of items.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export[R: ServiceResources]:
    """A list of things that a service holds of a person.

    Attributes:
        name: the list's name in the service's part of the document.
        item: the shape of an item. It must not contain secrets.
        scope: the scope that an access token needs; None if the other exports' scopes are enough.
        read: yields the items, which are read in one snapshot of the database.
        show: returns an item in its shape; by default, the shape takes the item's attributes.
    """

    name: str
    item: type[BaseModel]
    scope: str | None
    read: ReadItems[R]
    show: Callable[[Any], BaseModel] | None = None

    def shown(self, item: object) -> BaseModel:
        """Return an item in its shape."""
        return self.item.model_validate(item) if self.show is None else self.show(item)
