"""The collector's configuration names what it declares, and does what the documentation says."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "opentelemetry" / "collector.yaml"
BUILDER = FILE.with_name("builder.yaml")
KINDS = ("receivers", "processors", "exporters")


@pytest.fixture(scope="module")
def collector():
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_pipeline_names_what_is_declared_and_all_of_it_is_used(collector, kind):
    pipelines = collector["service"]["pipelines"].values()
    named = {name for pipeline in pipelines for name in pipeline[kind]}
    assert named == set(collector[kind])


def test_memory_is_limited_first_and_batches_hold_only_what_is_kept(collector):
    order = collector["service"]["pipelines"]["traces"]["processors"]
    assert order[0] == "memory_limiter"
    assert order[-1] == "batch"
    assert "tail_sampling" in order


def test_errors_and_slow_requests_are_kept_whole(collector):
    policies = {one["name"]: one for one in collector["processors"]["tail_sampling"]["policies"]}
    assert policies["errors"]["status_code"]["status_codes"] == ["ERROR"]
    assert policies["slow"]["latency"]["threshold_ms"] <= 500
    for policy in policies.values():
        assert policy["type"] in policy  # its settings are under the name of its type


def test_compose_runs_it_with_all_traces_and_behind_the_address_of_the_guide(collector, compose):
    service = compose["services"]["collector"]
    assert service["profiles"] == ["observability"]
    assert f"./{FILE.relative_to(ROOT)}:/etc/otelcol-contrib/config.yaml:ro" in service["volumes"]
    endpoint = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert endpoint == "0.0.0.0:4318"
    needed = {name for name in ("TRACES_ENDPOINT",) if f"env:{name}" in FILE.read_text("utf-8")}
    assert needed <= set(service["environment"])
    for name in ("gateway", "users", "orders-worker"):
        environment = compose["services"][name]["environment"]
        assert environment["OTEL_TRACES_SAMPLER_ARG"] == "1.0"
        assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"].startswith("${TRACES_RECEIVER:-")


def test_the_collector_that_is_tested_is_that_of_compose_and_has_what_the_file_names(
    collector, compose
):
    builder = yaml.safe_load(BUILDER.read_text(encoding="utf-8"))
    release = builder["dist"]["version"]
    assert compose["services"]["collector"]["image"].endswith(f":{release}}}")
    for kind in KINDS:
        modules = [part["gomod"].split() for part in builder[kind]]
        assert {version for _, version in modules} == {f"v{release}"}
        built = {Path(module).name.removesuffix(kind.removesuffix("s")) for module, _ in modules}
        assert built == {name.replace("_", "") for name in collector[kind]}
