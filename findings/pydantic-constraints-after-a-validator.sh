#!/usr/bin/env bash
# Pydantic 2.14.3: in an Annotated type, a constraint after a validator is enforced, but the JSON
# Schema does not express it correctly. `Field(ge=1)` becomes the keyword "ge", which no validator or
# client generator knows; it should be "minimum". `Field(pattern=…)` is missing from the schema for
# input and present in the schema for output. `max_length` is correct. So an OpenAPI document with
# such types documents less than the server enforces.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.3
cat > "$work/show.py" <<'PY'
from typing import Annotated

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError


def same(value):
    return value


def shown(*parts):
    adapter = TypeAdapter(Annotated[*parts])
    return adapter.json_schema(), adapter.json_schema(mode="serialization")


late, early = (int, AfterValidator(same), Field(ge=1)), (int, Field(ge=1), AfterValidator(same))
print("ge, constraint last: ", *shown(*late))
print("ge, constraint first:", *shown(*early))
print("pattern, last:       ", *shown(str, AfterValidator(same), Field(pattern="^a")))
try:
    TypeAdapter(Annotated[*late]).validate_python(0)
except ValidationError as error:
    print("0 is refused:        ", error.errors()[0]["type"])
PY
"$work/venv/bin/python" "$work/show.py" | tee "$work/seen"
diff "$work/seen" - <<'SEEN'
ge, constraint last:  {'ge': 1, 'type': 'integer'} {'ge': 1, 'type': 'integer'}
ge, constraint first: {'minimum': 1, 'type': 'integer'} {'minimum': 1, 'type': 'integer'}
pattern, last:        {'type': 'string'} {'pattern': '^a', 'type': 'string'}
0 is refused:         greater_than_equal
SEEN
