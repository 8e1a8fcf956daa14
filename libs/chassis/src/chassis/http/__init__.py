"""HTTP: the app factory, problem documents, base shapes, and helpers for routes."""

from chassis.http.acting import OriginDep, acting, acting_in_person
from chassis.http.app import create_app
from chassis.http.concurrency import ExpectedVersion
from chassis.http.idempotency import Idempotent
from chassis.http.pages import CountedPage, CountedPageQuery, Page, PageQuery, Pages
from chassis.http.problems import Problem, problems
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
