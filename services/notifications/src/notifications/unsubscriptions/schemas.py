"""The shape of an unsubscription over HTTP."""

from typing import Annotated

from fastapi import Query
from pydantic import Field

from chassis.http import Shape
from notifications.kinds.models import Category
from notifications.unsubscriptions.models import MAX_TOKEN

Token = Annotated[str, Query(max_length=MAX_TOKEN, description="The token of a mail's link.")]


class UnsubscriptionOut(Shape):
    """Whether mails of a category are on."""

    category: Category
    email: bool = Field(description="Whether notifications of the category are sent by mail.")
