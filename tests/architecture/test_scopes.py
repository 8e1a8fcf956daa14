"""Each scope that a role grants is required by some operation, and the reverse."""

import json
import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from chassis.operations.app import Operations
from users.sessions.models import SCOPES

ROOT = Path(__file__).parents[2]
# The code, not the declaration, checks a scope that only extends what an operation returns.
WIDENS = re.compile(r'"([a-z][a-z:-]+)" in \w+\.scopes')


def documents():
    """Return the OpenAPI documents of the services, and the one of the operators' API."""
    files = sorted(ROOT.glob("services/*/openapi.json"))
    found = {file.parent.name: json.loads(file.read_text(encoding="utf-8")) for file in files}
    assert len(found) > 2
    operations = Operations(title="Operations", registry=CollectorRegistry())
    return {**found, "operations": operations.app.openapi()}


def secured_operations():
    """Yield the name and the scopes of each operation that needs a token."""
    for service, document in documents().items():
        for path in document["paths"].values():
            for operation in path.values():
                for requirement in operation.get("security", []):
                    for scopes in requirement.values():
                        yield f"{service}.{operation['operationId']}", frozenset(scopes)


def required():
    sources = [file.read_text(encoding="utf-8") for file in ROOT.glob("services/*/src/**/*.py")]
    widening = {scope for source in sources for scope in WIDENS.findall(source)}
    return widening.union(*(scopes for _, scopes in secured_operations()))


def granted():
    return frozenset[str]().union(*SCOPES.values())


def test_every_scope_that_a_role_grants_is_required_somewhere():
    assert granted() - required() == set()


def test_every_scope_that_is_required_is_granted_by_a_role():
    assert required() - granted() == set()


def test_an_operation_that_needs_a_token_needs_a_scope():
    """Otherwise a token with few scopes, issued for a narrow purpose, could call the operation."""
    assert [name for name, scopes in secured_operations() if not scopes] == []
