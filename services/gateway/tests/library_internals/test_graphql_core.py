"""Canaries: `RowExecutor` returns what graphql-core's own executor does, also of broken rows."""

import asyncio
import json
from inspect import isawaitable
from typing import Any

import pytest
from graphql import Executor, execute, parse

from gateway.graph.loaders import Loader
from gateway.graph.plans import Joined, Member, Plans
from gateway.graph.scalars import UNCHANGED
from gateway.graph.schema import build_schema
from gateway.library_internals.graphql_core import RowExecutor
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
WHOLE: dict[str, object] = dict.fromkeys(MEMBERS, "placed") | {
    "price": {"amount": 10**12, "currency": "EUR"},
    **dict.fromkeys(("stock", "version", "quantity"), 7),
    "active": False,
}


class Rows:
    """In place of a context: each object that is asked for is this row."""

    def __init__(self, row, products):
        self.row = row
        self.products = Loader(self.load, at_once=100)
        self._products = products

    def get(self, _service, _path):
        return self.row

    async def load(self, ids):
        await asyncio.sleep(0)
        if isinstance(self._products, Exception):
            raise self._products
        return dict.fromkeys(ids, self._products)


async def outcome(schema, query, row, executor, *, products=None, variables=None):
    document = parse(query)
    plans: dict[str, Any] = {"plans": Plans(document)} if executor is RowExecutor else {}
    result = execute(
        schema,
        document,
        context_value=Rows(row, row if products is None else products),
        variable_values=variables,
        executor_class=executor,
        **plans,
    )
    if isawaitable(result):
        result = await result
    # In text, since the order of members counts, and NaN is not equal to itself.
    return json.dumps(result.data), sorted(str(error) for error in result.errors or ())


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


@pytest.mark.parametrize("products", [*ODD, WHOLE | {"sku": 1}, ValueError("x")], ids=repr)
async def test_a_joined_row_is_read_as_graphql_core_reads_it(schema, products):
    row = WHOLE | {"shipping_address": None, "items": [WHOLE, WHOLE | {"product_id": "other"}]}
    got = {}
    for executor in (Executor, RowExecutor):
        got[executor] = await outcome(schema, OF_ROWS_IN_ROWS, row, executor, products=products)
    assert got[RowExecutor] == got[Executor]


@pytest.mark.parametrize("shown", [True, False])
async def test_what_directives_leave_out_is_left_out(schema, shown):
    query = f"""
        query($s: Boolean!) {{ product(id: "{ID}") {{
            sku @skip(if: $s) ... @include(if: $s) {{ price {{ amount }} name @skip(if: true) }}
        }} }}
    """
    got = {}
    for executor in (Executor, RowExecutor):
        got[executor] = await outcome(schema, query, WHOLE, executor, variables={"s": shown})
    assert got[RowExecutor] == got[Executor]


async def test_only_a_row_that_is_not_as_expected_takes_the_way_of_graphql_core(
    schema, monkeypatch
):
    name = PrivateName(
        library="graphql-core",
        owner=Executor,
        name="complete_object_value",
        used_by="gateway.library_internals.graphql_core",
        parameters="self, return_type, field_details_list, info, path, result, position_context",
    )
    name.check()
    PrivateName(
        library="graphql-core",
        owner=Executor,
        name="collect_subfields",
        used_by="gateway.library_internals.graphql_core",
        parameters="self, return_type, field_details_list",
    ).check()
    taken = []
    own = Executor.execute_field

    def counted(self, parent_type, source, details, *more):
        taken.append(details[0].node.name.value)
        return own(self, parent_type, source, details, *more)

    monkeypatch.setattr(Executor, "execute_field", counted)
    row = WHOLE | {"shipping_address": WHOLE, "items": [WHOLE, WHOLE]}
    await outcome(schema, OF_ROWS_IN_ROWS, row, RowExecutor)
    assert taken == ["order"], name.look_at("is not called for each object")
    taken.clear()
    row["items"] = [WHOLE, WHOLE | {"quantity": None}]
    await outcome(schema, OF_ROWS_IN_ROWS, row, RowExecutor)
    assert taken == ["order", "version", "items", "quantity"], "no field of the whole line"


VALUES: dict[type, list[object]] = {
    int: [0, 1, -1, 2**31 - 1, 2**60],
    str: ["", "1", "é"],
    bool: [True, False],
    float: [1.5],
    list: [[], [None]],
    dict: [{}, {"a": None}],
}


@pytest.mark.parametrize("scalar", UNCHANGED)
def test_a_scalar_returns_values_of_its_types_unchanged(schema, scalar):
    for kind in UNCHANGED[scalar]:
        for value in VALUES[kind]:
            assert schema.type_map[scalar].coerce_output_value(value) is value


def test_every_field_without_a_resolver_is_a_member_or_joined(schema):
    fields = schema.type_map["OrderItem"].fields
    found = {name: type(field.resolve) for name, field in fields.items()}
    members = ("productId", "name", "quantity", "unitPrice", "total")
    assert found == {**dict.fromkeys(members, Member), "product": Joined}
