"""Canaries: `RowExecutor` returns what graphql-core's own executor does, also of broken rows."""

import asyncio
import json
from inspect import isawaitable

import pytest
from graphql import Executor, execute, parse

from gateway.graph.scalars import UNCHANGED
from gateway.graph.schema import build_schema
from gateway.library_internals.graphql_core import Member, RowExecutor
from testkit.library_internals import PrivateName

ID = "0190f3a4-0000-7000-8000-000000000001"
PRODUCT = """
__typename stock shown: name id ...More
"""
MORE = """
fragment More on Product {
  sku description active version createdAt updatedAt price { __typename currency amount }
}
"""
OF_A_ROW = f'{{ product(id: "{ID}") {{ {PRODUCT} }} }} {MORE}'
OF_ROWS_IN_ROWS = f"""
{{ order(id: "{ID}") {{
  version items {{ quantity product {{ {PRODUCT} }} name }} status
  shippingAddress {{ city line2 }} createdAt
}} }} {MORE}
"""
MEMBERS = (
    *("id", "sku", "name", "description", "price", "stock", "active", "version", "created_at"),
    *("updated_at", "amount", "currency", "city", "line2", "quantity", "status", "product_id"),
)
ODD: tuple[object, ...] = (
    *(None, True, False, "", "placed", 0, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**60),
    *(1.0, 1.5, float("nan"), [], ["x"], {}, {"amount": 1, "currency": "EUR"}),
)
WHOLE = dict.fromkeys(MEMBERS, "placed") | {
    "price": {"amount": 10**12, "currency": "EUR"},
    **dict.fromkeys(("stock", "version", "quantity"), 7),
    "active": False,
}


class Rows:
    """In place of a context: each object that is asked for is this row."""

    def __init__(self, row):
        self.row = row
        self.products = self

    def get(self, _service, _path):
        return self.row

    async def load(self, _id):
        await asyncio.sleep(0)
        return self.row


async def outcome(schema, query, row, executor):
    result = execute(schema, parse(query), context_value=Rows(row), executor_class=executor)
    if isawaitable(result):
        result = await result
    # In text, since the order of members counts, and NaN is not equal to itself.
    return json.dumps(result.data), [str(error) for error in result.errors or ()]


@pytest.fixture(scope="module")
def schema():
    return build_schema()


@pytest.mark.parametrize("query", [OF_A_ROW, OF_ROWS_IN_ROWS], ids=["one", "nested"])
@pytest.mark.parametrize("member", [None, *MEMBERS, "items", "shipping_address"])
async def test_a_row_is_read_as_graphql_core_reads_it(schema, query, member):
    for value in ODD:
        row = WHOLE | {"shipping_address": WHOLE, "items": [WHOLE, WHOLE]}
        if member is not None:
            row = row | {member: value, "items": [WHOLE, WHOLE | {member: value}]}
        if member == "items":
            row["items"] = value
        expected = await outcome(schema, query, row, Executor)
        assert await outcome(schema, query, row, RowExecutor) == expected, value


@pytest.mark.parametrize("row", [*ODD, {"id": "x"}])
async def test_what_is_no_whole_row_is_read_as_graphql_core_reads_it(schema, row):
    expected = await outcome(schema, OF_A_ROW, row, Executor)
    assert await outcome(schema, OF_A_ROW, row, RowExecutor) == expected


async def test_a_whole_row_has_no_errors(schema):
    data, errors = await outcome(schema, OF_A_ROW, WHOLE, RowExecutor)
    assert errors == []
    assert json.loads(data)["product"]["price"]["amount"] == 10**12


async def test_plain_members_do_not_take_the_way_of_graphql_core(schema, monkeypatch):
    name = PrivateName(
        library="graphql-core",
        owner=Executor,
        name="execute_fields",
        used_by="gateway.library_internals.graphql_core",
        parameters="self, parent_type, source_value, path, grouped_field_set, position_context",
    )
    name.check()
    taken = []
    own = Executor.execute_field

    def counted(self, parent_type, source, details, *more):
        taken.append(details[0].node.name.value)
        return own(self, parent_type, source, details, *more)

    monkeypatch.setattr(Executor, "execute_field", counted)
    await outcome(schema, OF_A_ROW, WHOLE, RowExecutor)
    assert taken == ["product", "__typename", "price", "__typename", "amount"], name.look_at(
        "is not called for the fields of each object"
    )


@pytest.mark.parametrize("scalar", UNCHANGED)
def test_a_scalar_returns_values_of_its_type_unchanged(schema, scalar):
    values: dict[type, list[object]] = {
        int: [0, 1, -1, 2**31 - 1],
        str: ["", "1", "é"],
        bool: [True, False],
    }
    for value in values[UNCHANGED[scalar]]:
        assert schema.type_map[scalar].coerce_output_value(value) is value


def test_every_field_without_a_resolver_is_a_member(schema):
    fields = schema.type_map["OrderItem"].fields
    found = {name for name, field in fields.items() if isinstance(field.resolve, Member)}
    assert found == {"productId", "name", "quantity", "unitPrice", "total"}
