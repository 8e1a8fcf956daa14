"""Which statements only read, and so need no transaction.

PostgreSQL's default isolation level, READ COMMITTED, gives each statement a snapshot of its own,
whether it is in a transaction or not (documentation, 13.2.1). A statement that changes nothing and
locks nothing has the same effect before BEGIN as after it.
"""

import re
from functools import lru_cache

_STATEMENTS = 1000  # more than a service has; SQLAlchemy makes one for each length of a list

# Strings and quoted names in one pattern: each may contain the other's quote.
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
# What can hide the end of a string from the pattern above: comments, escapes in strings, and
# strings between dollars (a parameter is a dollar and a number).
_OPAQUE = re.compile(r"--|/\*|\\|\$(?:[A-Za-z_]\w*)?\$")
_WORD = re.compile(r"[a-z_]\w*")
_COLUMNS_OF_ALIAS = re.compile(r"\bas\s+(?!materialized\b)\w+\s*\(")
_DOT = re.compile(r"\s*\.\s*")
# A name may contain dollars. With a schema before it, it is not the function that is known.
_CALL = re.compile(r"([a-z_.][\w.$]*)\s*\(")

_CHANGES_OR_LOCKS = frozenset({"insert", "update", "delete", "merge", "into", "share"})

_BEFORE_PARENTHESES = """
    all and any array as by case else except exists filter from having in intersect join lateral
    limit materialized not offset on or over select then union using values when where
"""
_WITHOUT_EFFECT = """
    abs array_agg array_length avg bool_and bool_or cardinality cast ceil clock_timestamp coalesce
    concat count date_trunc dense_rank encode extract floor format greatest json_agg
    json_array_elements json_build_array json_build_object json_to_record json_to_recordset
    jsonb_agg jsonb_array_length jsonb_build_object lag lead least left length lower max md5 min
    nullif now octet_length rank replace right round row row_number starts_with string_agg substring
    sum to_json to_jsonb to_tsquery to_tsvector trim ts_rank unnest upper websearch_to_tsquery
"""
_KNOWN = frozenset(_BEFORE_PARENTHESES.split()) | frozenset(_WITHOUT_EFFECT.split())


@lru_cache(maxsize=_STATEMENTS)
def only_reads(sql: str) -> bool:
    """Return whether a statement certainly changes nothing and locks nothing.

    False may be wrong, and then costs a BEGIN and a COMMIT. Such is the answer for each function
    that is not known here, because it might have an effect.
    """
    if _OPAQUE.search(sql):
        return False
    text = _DOT.sub(".", _QUOTED.sub(" quoted ", sql))
    # In PostgreSQL a name may contain any character beyond ASCII, which the patterns do not know.
    if not text.isascii():
        return False
    text = text.lower()
    words = _WORD.findall(text)
    if not words or words[0] not in {"select", "with"} or ";" in text:
        return False
    called = set(_CALL.findall(_COLUMNS_OF_ALIAS.sub(" (", text)))
    return _CHANGES_OR_LOCKS.isdisjoint(words) and called <= _KNOWN
