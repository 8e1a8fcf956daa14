"""Search by words: the SQL expression that an index holds, and the query that uses the index.

A row is found if it has all words of a text, or words that begin so.
"""

import string
import unicodedata
from uuid import UUID

from sqlalchemy import ColumnElement, TextClause, Uuid, any_, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute

from chassis.database.unit import Unit

_FEW = 1000  # sorted in about a millisecond
_PUNCTUATION = string.punctuation
"""What separates words, beside what PostgreSQL takes for no part of a word. Its parser reads a
slash, a dot or a sign between letters and digits as a path, a host or a number, and would not find
``cotton`` in ``wool/cotton``."""

_NO_PUNCTUATION = str.maketrans(dict.fromkeys(_PUNCTUATION, " "))

_QUOTED_PUNCTUATION = _PUNCTUATION.replace("'", "''")


def search_vector(first: str, second: str) -> str:
    """Return the words of two columns, as SQL. An index on it serves only this same expression."""
    return (
        "to_tsvector('simple'::regconfig, "
        f"translate(normalize(({first} || ' '::text) || {second}, NFKC), "
        f"'{_QUOTED_PUNCTUATION}'::text, '{' ' * len(_PUNCTUATION)}'::text))"
    )


def search_query(text: str) -> str:
    """Return the argument of ``to_tsquery`` that finds the rows with all words of `text`.

    A word also finds those that begin with it. It has the form of ``search_vector``: NFKC, in which
    one text has one spelling, without punctuation. PostgreSQL maps case, to lower case alone:
    ``groß`` and ``gross`` are two texts. So no character of the result but its own operators has a
    meaning in ``to_tsquery``. It is empty if `text` has no word.
    """
    words = unicodedata.normalize("NFKC", text).translate(_NO_PUNCTUATION).split()
    return " & ".join(f"'{word}':*" for word in words)


async def condition_of_search(
    unit: Unit, typed: str, *, vector: str, key: InstrumentedAttribute[UUID]
) -> ColumnElement[bool] | TextClause:
    """Return the condition on the rows that a search finds, for a list in another order.

    PostgreSQL expects a word with a prefix in at least 1 of 200 rows. So it would look for a word
    of few rows, or of none, in the order of the list, and compute the words of every row. If a
    search finds few rows, their keys are the condition. If it finds many, the list soon reaches
    enough of them.

    Args:
        unit: the transaction of the list.
        typed: what to search for; see ``search_query``.
        vector: the expression that the index holds; see ``search_vector``.
        key: the primary key of the searched table.
    """
    # Without parameters but the query: PostgreSQL uses an index only for the expression it holds.
    found = text(f"{vector} @@ to_tsquery('simple', :query)").bindparams(query=search_query(typed))
    keys = (await unit.session.scalars(select(key).where(found).limit(_FEW + 1))).all()
    return key == any_(literal(keys, ARRAY(Uuid))) if len(keys) <= _FEW else found
