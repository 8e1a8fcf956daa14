"""SQLAlchemy's way to await inside its synchronous code, which runs in a greenlet.

Its documentation names it for drivers, and promises nothing for others.
"""

from sqlalchemy.util import await_only

__all__ = ["await_only"]
