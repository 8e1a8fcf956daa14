"""HTTP: the app factory, problem documents, base shapes, and what routes share."""

from chassis.http.app import create_app
from chassis.http.concurrency import IfMatch, check_if_match, etag_of
from chassis.http.idempotency import Idempotent, declare_idempotency_table
from chassis.http.pages import Cursor, KeysetCursor, Page, PageQuery, page_of
from chassis.http.problems import Problem, problems
from chassis.http.routing import Router
from chassis.http.session import SessionDep
from chassis.http.shapes import BoundedInt, Id, Name, QueryShape, Shape

__all__ = [
    "BoundedInt",
    "Cursor",
    "Id",
    "Idempotent",
    "IfMatch",
    "KeysetCursor",
    "Name",
    "Page",
    "PageQuery",
    "Problem",
    "QueryShape",
    "Router",
    "SessionDep",
    "Shape",
    "check_if_match",
    "create_app",
    "declare_idempotency_table",
    "etag_of",
    "page_of",
    "problems",
]
