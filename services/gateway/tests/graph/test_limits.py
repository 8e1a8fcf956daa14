"""The limits of documents: each with its own error, and none that costs much to exceed."""

import time
from dataclasses import replace

import pytest
from graphql import OperationDefinitionNode, parse

from gateway.graph.costs import Costs, Shapes, fragments_of
from gateway.graph.failures import OperationRefused
from gateway.graph.operations import Bounds, Operations
from gateway.graph.schema import build_schema

from .conftest import PROBLEM

BOUNDS = Bounds(tokens=1000, depth=16, aliases=30, cost=5000)


@pytest.fixture(scope="module")
def schema():
    return build_schema()


@pytest.fixture
def read(schema):
    def reading(text, variables=None, *, introspection=True, bounds=BOUNDS):
        operations = Operations(schema, bounds, introspection=introspection)
        return operations.read(text, name=None, variables=variables or {}, request_id="r")

    return reading


@pytest.fixture
def limit_of(read):
    """Return the name of the limit that a document exceeds."""

    def refused(text, variables=None, **options):
        with pytest.raises(OperationRefused) as refusal:
            read(text, variables, **options)
        [error] = refusal.value.errors
        extensions = error["extensions"]
        assert extensions["type"] == f"{PROBLEM}graphql-limit-exceeded"
        assert (extensions["status"], extensions["request_id"]) == (400, "r")
        assert str(extensions["most"]) in error["message"] or "deep" in error["message"]
        return extensions["limit"]

    return refused


def nested(depth):
    return "{" + "a{" * (depth - 1) + "a" + "}" * depth


LINES = "fragment o on Order { items { product { id name sku price { amount } } } }"
ALIASES = "fragment f on Account { " + " ".join(f"a{n}: id" for n in range(16)) + " }"
BOMB = "{ ...f0 } " + " ".join(
    f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60)
)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("{ " + "a " * 1000 + "}", "tokens"),
        ("# x\n" * 1001 + "{ __typename }", "tokens"),
        ("{ a " * 490, "tokens"),
        ("{ a(b: " + "[" * 900, "tokens"),
        (nested(17), "depth"),
        ("{ ...f } fragment f on Query " + nested(17), "depth"),
        ("{ " + " ".join(f"a{n}: me {{ id }}" for n in range(31)) + " }", "aliases"),
        ("{ " + "me { id } " * 40 + "}", "aliases"),
        ("{ __typename } fragment f on Query { " + "me " * 400 + "}", "aliases"),
        ("{ me { " + " ".join(f"a{n}: id" for n in range(31)) + " } }", "aliases"),
        ("{ me { ...f } x: me { ...f } } " + ALIASES, "aliases"),
        ("{ orders(first: 100) { nodes { items { product { id name sku } } } } }", "cost"),
        ("{ orders(first: 5000) { nodes { id } } }", "cost"),
        ("{ orders { nodes { " + "...o " * 8 + "} } } " + LINES, "cost"),
        ("{ " + " ".join(f"a{n}: __schema {{ types {{ name }} }}" for n in "12345") + "}", "cost"),
    ],
)  # fmt: skip
def test_a_document_over_a_limit_is_refused_soon(limit_of, text, limit):
    began = time.process_time()
    assert limit_of(text) == limit
    assert time.process_time() - began < 1


def test_the_cost_of_a_page_depends_on_its_variable(read, limit_of):
    text = "query($n: Int!) { orders(first: $n) { nodes { id items { quantity } } } }"
    small, large = read(text, {"n": 10}).cost, read(text, {"n": 100}).cost
    assert 50 < small < large < 1000
    assert limit_of(text, {"n": 10**6}) == "cost"
    assert read(text, {"n": -3}).cost < small
    assert read(text, {"n": "x"}).cost < large, "the variable itself is refused later"
    assert read(text, {"n": 100.0}).cost == large, "`Int` accepts it"


def test_no_number_is_too_long_to_be_refused(read, limit_of):
    """Python refuses to convert one of 4,301 digits; JSON's have 4,300 at most."""
    text = "query($n: Int!) { orders(first: $n) { nodes { items { quantity product { id } } } } }"
    assert limit_of(text, {"n": 10**4299}) == "cost"
    digits = "9" * 4301
    text = "query($id: ID = ID) { order(id: $id) { id } }"
    default = read(text.replace("= ID", f"= {digits}"))
    assert default.cost == read(text.replace("= ID", '= "9"')).cost


def test_a_long_chain_of_fragments_is_refused(limit_of):
    chain = " ".join(f"fragment f{n} on Query {{ ...f{n + 1} }}" for n in range(1000))
    bounds = replace(BOUNDS, tokens=20_000)
    assert limit_of("{ ...f0 } " + chain, bounds=bounds) == "depth"


@pytest.mark.parametrize(
    ("variables", "size"), [({}, 100), ({"n": 10}, 10), ({"n": 50.0}, 50), ({"other": 1}, 100)]
)
def test_the_cost_of_a_page_is_that_of_its_default_without_the_variable(read, variables, size):
    text = "query($n: Int! = 100) { orders(first: $n) { nodes { id } } }"
    plain = "{ orders(first: SIZE) { nodes { id } } }".replace("SIZE", str(size))
    assert read(text, variables).cost == read(plain).cost


def test_a_known_document_has_a_cost_for_each_of_its_operations_and_sizes(schema):
    operations = Operations(schema, BOUNDS, introspection=True)
    text = """
        query A($n: Int!) { orders(first: $n) { ...page } }
        query B($n: Int!) { orders(first: $n) { ...page totalCount } }
        fragment page on OrderConnection { nodes { id status } }
    """
    fresh = Operations(schema, BOUNDS, introspection=True)
    for name, size in [("A", 5), ("B", 5), ("A", 5), ("A", 9), ("B", 9), ("A", 5)]:
        sizes = {"n": size}
        known = operations.read(text, name=name, variables=sizes, request_id="r").cost
        new = fresh.read(f"{text}#{size}", name=name, variables=sizes, request_id="r").cost
        assert known == new == 10 + 1 + size * (1 + 2) + (name == "B") * size


def test_a_known_document_has_a_cost_for_each_size_also_within_its_fragments(schema):
    operations = Operations(schema, BOUNDS, introspection=True)
    text = """
        query($n: Int!) { ...page }
        fragment page on Query { orders(first: $n) { nodes { id } } }
    """
    for size in (1, 50, 1):
        read = operations.read(text, name=None, variables={"n": size}, request_id="r")
        assert read.cost == 10 + 1 + size * (1 + 1)


@pytest.mark.parametrize(
    "text", ["{ ...f } fragment f on Query { FIELDS }", "{ ... on Query { FIELDS } }"]
)
def test_a_fragment_makes_the_calls_of_an_operation_no_cheaper(read, text):
    fields = "me { id } unreadCount orders { nodes { id } }"
    assert (
        read(text.replace("FIELDS", fields)).cost
        == read("{ FIELDS }".replace("FIELDS", fields)).cost
    )


def test_a_page_of_less_than_nothing_makes_nothing_else_cheaper(read):
    text = "{ orders(first: SIZE) { nodes { id items { quantity } } } }"
    one = read(text.replace("SIZE", "1")).cost
    assert read(text.replace("SIZE", "-100")).cost == one
    text = "query($n: Int!) " + text.replace("SIZE", "$n")
    assert read(text, {"n": -100}).cost == one


def test_the_cost_is_about_the_number_of_values(schema):
    text = "{ orders(first: 20) { nodes { id items { quantity product { name } } } } }"
    [node] = [one for one in parse(text).definitions if isinstance(one, OperationDefinitionNode)]
    # One root (10 + 1), nodes, 20 ids, 20, items, and in 5 lines each: 2 values and a product.
    lines = 20 * 5 * (1 + 1 + 10 + 1)
    assert Costs(schema, parse(text)).of(node, {}) == 10 + 1 + 20 * 2 + 20 + lines


def test_fragments_that_use_fragments_are_measured_once(read):
    """2^60 selections: nothing may walk them one by one. The validation rejects what is left."""
    began = time.process_time()
    with pytest.raises(OperationRefused):
        read(BOMB)
    assert time.process_time() - began < 2


def test_fragments_in_a_circle_are_refused(read):
    with pytest.raises(OperationRefused):
        read("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }")
    document = parse("{ ...a } fragment a on Query { me { ...a } }")
    assert Shapes(document).of(fragments_of(document)["a"]).depth == 2


def test_introspection_can_be_switched_off(read):
    text = "{ __schema { types { name } } }"
    assert read(text).cost > 0
    with pytest.raises(OperationRefused, match="introspection has been disabled"):
        read(text, introspection=False)
    assert read("{ __typename }", introspection=False).cost > 0


def test_a_known_document_is_bounded_again_by_its_variables(schema):
    operations = Operations(schema, BOUNDS, introspection=True)
    text = "query($n: Int) { orders(first: $n) { nodes { id } } }"
    for _ in range(2):
        operations.read(text.replace("Int", "Int!"), name=None, variables={"n": 5}, request_id="r")
        with pytest.raises(OperationRefused):
            operations.read(
                text.replace("Int", "Int!"), name=None, variables={"n": 9999}, request_id="r"
            )


def test_known_documents_are_forgotten_when_there_are_many(schema):
    operations = Operations(schema, BOUNDS, introspection=True)
    for number in range(300):
        text = f"query Q{number} {{ __typename }}"
        operations.read(text, name=None, variables={}, request_id="r")
    assert len(operations._kept) == 200


async def test_an_operation_may_send_so_many_requests(graph, ask, system):
    gateway = await graph(graphql_calls=2)
    got = await ask("{ me { id } unreadCount preferences { version } }", gateway=gateway)
    assert len(system.calls) == 2
    [error] = got["errors"]
    assert error["extensions"]["limit"] == "calls"
    assert sum(value is None for value in got["data"].values()) == 1


async def test_limits_and_introspection_are_settings(graph, ask):
    gateway = await graph(
        graphql_depth=2, graphql_cost=30, graphql_aliases=0, graphql_introspection="off"
    )
    for query, limit in [
        ("{ me { id } x: me { id } }", "aliases"),
        ("{ orders { nodes { id } } }", "depth"),
        ("{ me { id } unreadCount preferences { locale } }", "cost"),
    ]:
        got = await ask(query, gateway=gateway, status=400)
        assert got["errors"][0]["extensions"]["limit"] == limit
    got = await ask('{ __type(name: "Query") { name } }', gateway=gateway, status=400)
    assert "introspection" in got["errors"][0]["message"]
