"""HTTP: the app factory, problem documents, base shapes, and helpers for routes.

Names are imported at their first use, but for those of two modules that have the name of one of
their functions: importing the module later would put it in the function's place.
"""

from typing import TYPE_CHECKING

from chassis.first_use import at_first_use
from chassis.http.acting import OriginDep, acting, acting_in_person
from chassis.http.problems import Problem, problems

if TYPE_CHECKING:
    from chassis.http.app import create_app
    from chassis.http.concurrency import ExpectedVersion
    from chassis.http.idempotent import Idempotent
    from chassis.http.pages import CountedPage, CountedPageQuery, Page, PageQuery, Pages
    from chassis.http.routing import Router
    from chassis.http.shapes import BoundedInt, Id, Name, QueryShape, Shape
    from chassis.http.unit import UnitDep

__all__ = [
    "BoundedInt",
    "CountedPage",
    "CountedPageQuery",
    "ExpectedVersion",
    "Id",
    "Idempotent",
    "Name",
    "OriginDep",
    "Page",
    "PageQuery",
    "Pages",
    "Problem",
    "QueryShape",
    "Router",
    "Shape",
    "UnitDep",
    "acting",
    "acting_in_person",
    "create_app",
    "problems",
]

__getattr__ = at_first_use(
    __name__,
    {
        "BoundedInt": "shapes",
        "CountedPage": "pages",
        "CountedPageQuery": "pages",
        "ExpectedVersion": "concurrency",
        "Id": "shapes",
        "Idempotent": "idempotent",
        "Name": "shapes",
        "Page": "pages",
        "PageQuery": "pages",
        "Pages": "pages",
        "QueryShape": "shapes",
        "Router": "routing",
        "Shape": "shapes",
        "UnitDep": "unit",
        "create_app": "app",
    },
)
