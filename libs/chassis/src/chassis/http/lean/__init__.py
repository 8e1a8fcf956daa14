"""Lean routes: FastAPI declares and documents a route, and a compiled form of it serves requests.

FastAPI solves the dependencies of a route anew for each request: it walks the tree of dependencies,
opens exit stacks and looks up what never changes. A lean route does that once. ``compiled`` decides
which routes FastAPI itself serves.
"""

from chassis.http.lean.compiling import FastApiServes, compiled
from chassis.http.lean.route import LeanRoute
from chassis.http.lean.routes import LeanRoutes

__all__ = ["FastApiServes", "LeanRoute", "LeanRoutes", "compiled"]
