"""Canaries: strawberry and graphql-core are as `gateway.graph` relies on."""

import pytest
import strawberry
from graphql import GraphQLError, GraphQLSchema, parse
from strawberry.types.field import StrawberryField

from gateway.library_internals.strawberry import attributes, core_info, core_schema
from testkit.library_internals import PrivateName


@strawberry.type
class Query:
    """A root."""

    first_one: int

    @strawberry.field
    def another(self) -> int:
        """Return a number."""
        return 2


def test_a_schema_has_the_schema_of_graphql_core():
    schema = strawberry.Schema(Query)
    name = PrivateName(
        library="strawberry-graphql",
        owner=schema,
        name="_schema",
        used_by="gateway.library_internals.strawberry",
    )
    name.check()
    assert isinstance(core_schema(schema), GraphQLSchema), name.look_at("is another")


def test_fields_without_a_resolver_have_their_names_in_python():
    schema = core_schema(strawberry.Schema(Query))
    assert schema.query_type is not None
    expected = [("first_one", schema.query_type.fields["firstOne"])]
    name = PrivateName(
        library="strawberry-graphql",
        owner=StrawberryField,
        name="is_basic_field",
        used_by="gateway.library_internals.strawberry",
    )
    name.check()
    found = [(own.python_name, field) for own, field in attributes(schema)]
    assert found == expected, name.look_at("is true for others")


async def test_an_info_has_what_graphql_core_passes_to_resolvers():
    seen = []

    @strawberry.type
    class Query:
        @strawberry.field
        def one(self, info: strawberry.Info) -> int:
            seen.append(info)
            return 1

    await strawberry.Schema(Query).execute("{ one }")
    name = PrivateName(
        library="strawberry-graphql",
        owner=seen[0],
        name="_raw_info",
        used_by="gateway.library_internals.strawberry",
    )
    name.check()
    core = core_info(seen[0])
    names = [node.name.value for node in core.field_nodes]
    assert (names, core.fragments) == (["one"], {}), name.look_at("is another")


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("{ a b }", {"max_lexical_tokens": 3}),
        ("# a\n# b\n{ a }", {"max_comments": 1}),
        ("{ a " * 5000, {}),
    ],
)
def test_the_errors_of_the_parsers_limits_have_the_words_by_which_they_are_known(text, limits):
    with pytest.raises(GraphQLError, match="Parsing aborted"):
        parse(text, **limits)
