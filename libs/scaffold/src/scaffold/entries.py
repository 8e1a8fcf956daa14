"""The lists of services in files that can't read a service's declaration, and its entry in each.

`tests/architecture/test_declarations.py` compares these files with the declarations.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template

from scaffold.names import Names


class EntryRefusedError(LookupError):
    """A file has no list where one was expected."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a new service adds to one list.

    Attributes:
        file: the path from the repository's root.
        text: the template of the entry; it may also name groups of the pattern.
        after: a pattern of what stands before it; `<service>` matches the name of any service
            there is, as `<SERVICE>` does in capitals. The last place that matches is taken.
        before: a pattern of what stands after it, in place of `after`.
        sorted: whether the list is sorted, and `after` matches each of its entries.
    """

    file: str
    text: str
    after: str = ""
    before: str = ""
    sorted: bool = False

    def added_to(self, content: str, names: Names, services: Collection[str]) -> str:
        """Return a file's content with the entry.

        Raises:
            EntryRefusedError: the file has no such list.
        """
        wanted = self.after or self.before
        any_of = f"(?:{'|'.join(services)})"
        pattern = wanted.replace("<service>", any_of).replace("<SERVICE>", any_of.upper())
        places = list(re.finditer(pattern, content, re.MULTILINE))
        if not places:
            message = (
                f"{self.file} has no place for the entry of {names.service!r}: nothing matches "
                f"{wanted!r}. Change it in scaffold/entries.py."
            )
            raise EntryRefusedError(message)
        text = Template(self.text).substitute(names.values, **places[-1].groupdict())
        if self.sorted:
            places = [place for place in places if place.group() < text] or places[:1]
        at = places[-1].end() if self.after else places[-1].start()
        return content[:at] + text + content[at:]


_MIGRATION = """\
  $service-migrate:
    <<: *migrate
    command: [chassis.run, $service, migrate]
    image: &$service-image slipway/$service:$${TAG:-dev}
    build: &$service-build
      <<: *build
      args: { <<: *python, PACKAGE: $service }
    environment:
      <<: *waiting
      ENVIRONMENT: development
      DATABASE_OWNER_URL: postgresql://${service}_owner:$${SLIPWAY_ROLES_PASSWORD}@postgres:5432/slipway

"""
_PROCESSES = """\
  $service:
    <<: *restarted
    image: *$service-image
    build: *$service-build
    command: [chassis.run, $service, api]
    environment: &$service-environment
      <<: *common
      DATABASE_URL: postgresql://${service}_runtime:$${SLIPWAY_ROLES_PASSWORD}@postgres:5432/slipway
    volumes: [*public-keys]
    depends_on: &$service-needs
      <<: *settled
      $service-migrate: { condition: service_completed_successfully }
    healthcheck: *ready

  $service-worker:
    <<: *restarted
    image: *$service-image
    build: *$service-build
    command: [chassis.run, $service, worker]
    environment: *$service-environment
    volumes: [*public-keys]
    depends_on: *$service-needs
    healthcheck: *ready

"""
_AUTOSCALED = """\

$service:
  api:
    autoscaling: { enabled: true, minReplicas: 2, maxReplicas: 4 }
  worker:
    autoscaling: { enabled: true, minReplicas: 2, maxReplicas: 4 }
"""
_ADDRESS_SCHEMA = """\
        "$service": {
          "type": "string",
          "pattern": "^(https?://[^/?#@\\\\s]+)?$$"
        },
"""
_NO_CALLS = """\
    "create$Noun": "the client has no $service yet",
    "list$Service": "likewise",
    "get$Noun": "likewise",
    "delete$Noun": "likewise",
"""
_COMPOSE = "docker-compose.yml"
_PYPROJECT = "pyproject.toml"
_CHARTS_CHECK = "deploy/kubernetes/check-charts.sh"
_CONTRACTS = "libs/contracts/src/contracts/__init__.py"

ENTRIES = (
    # Python's tools.
    Entry(_PYPROJECT, ', "$service"', after=r"^dependencies = \[.*(?=\]$)"),
    Entry(
        _PYPROJECT,
        "$service = { workspace = true }\n",
        after=r"^\w+ = \{ workspace = true \}\n",
        sorted=True,
    ),
    Entry(_PYPROJECT, ' "services/$service/src",', after=r'"services/<service>/src",'),
    Entry(_PYPROJECT, ', "$service"', after=r"^source_pkgs = \[.*(?=\]$)"),
    # The code that serves and announces it, and grants its scopes.
    Entry(
        "services/gateway/src/gateway/routes.py",
        '    Route(prefix="/api/v1/$service", service="$service"),\n',
        after=r'^    Route\(prefix="[^"]*", service="<service>"\),\n',
    ),
    Entry(
        "services/users/src/users/sessions/models.py",
        ', "$service:read", "$service:write"',
        after=r"^_CUSTOMER = frozenset\(\s*\{[^}]*?(?=,?\s*\})",
    ),
    Entry(
        "services/users/tests/test_login.py",
        ', "$service:read", "$service:write"',
        after=r"^CUSTOMER = \{[^}]*?(?=,?\s*\})",
    ),
    Entry(_CONTRACTS, "$service, ", after=r"^from contracts import \(?"),
    Entry(_CONTRACTS, ", $service", after=r"^_PRODUCERS = \([^)]*?(?=,?\s*\))"),
    Entry(
        "tests/contracts/problem_types.json",
        '  "$noun-not-found": {"status": 404, "title": "You have no such $noun."},\n',
        after=r'^  "[a-z-]+": .*,\n',
        sorted=True,
    ),
    Entry(
        "libs/client/tests/test_document.py",
        _NO_CALLS,
        after=r"^NO_CALL = \{\n(?: .*\n)+",
    ),
    # Compose.
    Entry(_COMPOSE, " $service", after=r"^ +SLIPWAY_SERVICES: .*"),
    Entry(
        _COMPOSE,
        "      ${SERVICE}_OWNER_PASSWORD: $${SLIPWAY_ROLES_PASSWORD}\n"
        "      ${SERVICE}_RUNTIME_PASSWORD: $${SLIPWAY_ROLES_PASSWORD}\n",
        after=r"^      <SERVICE>_RUNTIME_PASSWORD: .*\n",
    ),
    Entry(_COMPOSE, _MIGRATION, before=r"^  # -+ services$"),
    Entry(_COMPOSE, _PROCESSES, before=r"^  gateway:$"),
    Entry(
        _COMPOSE,
        "      ${SERVICE}_URL: http://$service:8000\n",
        after=r"^      <SERVICE>_URL: .*\n",
    ),
    Entry(
        _COMPOSE,
        "      $service: { condition: service_healthy }\n",
        after=r"^      <service>: \{ condition: service_healthy \}\n",
    ),
    Entry(
        "deploy/compose/prometheus.yml",
        "          - $service:9000\n          - $service-worker:9000\n",
        after=r"^          - <service>-worker:9000\n",
    ),
    # The charts.
    Entry("helm/gateway/values.yaml", '  $service: ""\n', after=r'^  <service>: ""\n'),
    Entry("helm/gateway/values.schema.json", _ADDRESS_SCHEMA, before=r'^        "<service>": \{$'),
    Entry(
        "helm/slipway/Chart.yaml",
        "  - { name: service, version: $version, "
        'repository: "file://../service", alias: $service }\n',
        after=r"^  - \{ name: service, version: (?P<version>[^,]+), .* alias: <service> \}\n",
    ),
    Entry("helm/slipway/values.yaml", "$service: {}\n\n", before=r"^<service>:"),
    Entry("helm/slipway/values-production.yaml", _AUTOSCALED, after=r"^<service>:\n(?: +.*\n)+"),
    Entry(
        "helm/slipway/values.schema.json",
        '    "$service": {\n      "$$ref": "#/$$defs/service"\n    },\n',
        before=r'^    "<service>": \{$',
    ),
    Entry(
        "helm/slipway/templates/tests/order-path.yaml",
        ', "/api/v1/$service": 401',
        after=r'"/api/v1/\w+": 401',
    ),
    Entry(
        _CHARTS_CHECK,
        ",$service.database.existingSecret=$service",
        after=r"<service>\.database\.existingSecret=\w+",
    ),
    Entry(
        _CHARTS_CHECK,
        ",$service.migrations.enabled=false",
        after=r"<service>\.migrations\.enabled=false",
    ),
    Entry(
        "deploy/kubernetes/kubectl/slipway/kustomization.yaml",
        "  - { name: slipway/$service, newName: slipway/$service }\n",
        after=r"^  - \{ name: slipway/<service>, .*\n",
    ),
    # What operates it.
    Entry("deploy/backup/backup.sh", " $service", after=r"\|\| set -- .*"),
    Entry("deploy/backup/restore.sh", " $service", after=r"\|\| set -- .*"),
    Entry(
        ".github/workflows/ci.yml",
        "          - services/$service\n",
        after=r"^ +- services/<service>\n",
    ),
    Entry(".github/workflows/release.yml", ", $service", after=r"package: \[.*(?=\])"),
    Entry(".github/workflows/security.yml", ", $service", after=r"package: \[.*(?=\])"),
)
_IMPORT_RULES = ".importlinter"
CONNECTIONS = {
    "helm/slipway-lib/values.yaml": (76,),
    "helm/slipway-infra/values.yaml": (76, 304),
    "helm/slipway/values-production.yaml": (304,),
}
"""How many connections more each `maxConnections` of a file allows, in the file's order.

The chart counts 18 for each API and 20 for each worker, and each twice during a rollout: 76 for one
of each, 304 for the four of each that values-production.yaml allows.
"""


def add_entries(root: Path, names: Names, services: Collection[str]) -> list[Path]:
    """Add a service to each list, and return the files that were changed.

    Nothing is written if one of the lists is not found.

    Args:
        root: the top of the repository.
        names: of the new service.
        services: the names of the services that there are.

    Raises:
        EntryRefusedError: a file has no list where one was expected.
    """
    changed: dict[Path, str] = {}

    def change(name: str, edited: Callable[[str], str]) -> None:
        file = root / name
        changed[file] = edited(changed[file] if file in changed else file.read_text("utf-8"))

    for entry in ENTRIES:
        change(entry.file, partial(entry.added_to, names=names, services=services))
    change(_IMPORT_RULES, partial(with_import_rules, service=names.service, services=services))
    for name, more in CONNECTIONS.items():
        change(name, partial(with_connections, more=more))
    for file, content in changed.items():
        file.write_text(content, "utf-8")
    return list(changed)


def with_connections(content: str, more: Iterable[int]) -> str:
    """Return values of a chart that allow more connections; 0 is no limit, and stays."""
    added = iter(more)

    def raised(found: re.Match[str]) -> str:
        limit, wanted = int(found[2]), next(added, 0)
        return f"{found[1]}{limit + wanted if limit else 0}"

    return re.sub(r"(^ +maxConnections: )(\d+)", raised, content, flags=re.MULTILINE)


def with_import_rules(content: str, service: str, services: Collection[str]) -> str:
    """Return the import rules with a service in each list of services, in the place of its name."""
    found: list[str] = []
    block: list[str] = []
    for line in [*content.splitlines(keepends=True), ""]:
        if line.startswith("    "):
            block.append(line)
            continue
        found += _with_service(block, service, services)
        block = []
        found.append(line)
    return "".join(found)


def _with_service(block: list[str], service: str, services: Iterable[str]) -> list[str]:
    """Return the lines of one option, with a service if they list services."""
    for form in ("    {}\n", "    {}.*\n"):
        listed = [line for line in block if line in {form.format(name) for name in services}]
        if len(listed) > 1 or (listed and "*" in form):
            return sorted([*block, form.format(service)])
    return block
