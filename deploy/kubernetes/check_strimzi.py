"""Checks the resources that the chart renders for Strimzi, and removes them from the file.

kubernetes-validate knows only what Kubernetes has. ``check_strimzi.py RENDERED.yaml TOPICS.json
REPLICAS``: how many of each topic the chart must render; 0: no topics, only the users.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from rendering import resources_of

from chassis.installed import service_names
from slipway.operate.topics import Replication

PREFIX = "prod."
ALSO_READ = {"slipway.sessions": {"gateway"}}  # which reads no other event


def record(properties: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON Schema
    """Return the schema of an object that has exactly these properties."""
    required = {"required": sorted(properties), "additionalProperties": False}
    return {"type": "object", "properties": properties, **required, **more}


TEXT = {"type": "string", "minLength": 1}
NAME = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"}
METADATA = {
    "type": "object",
    "required": ["name", "labels"],
    "properties": {
        "name": NAME,
        "labels": {"type": "object", "required": ["strimzi.io/cluster"]},
    },
}
OPERATIONS = {"enum": ["Read", "Write", "Describe"]}
# From the custom resource definitions of Strimzi 0.49, the parts that the chart uses.
SPECS = {
    "KafkaTopic": record(
        {
            "topicName": TEXT,
            "partitions": {"type": "integer", "minimum": 1},
            "replicas": {"type": "integer", "minimum": 1, "maximum": 32767},
            "config": {"type": "object", "additionalProperties": TEXT},
        }
    ),
    "KafkaUser": record(
        {
            "authentication": record({"type": {"const": "scram-sha-512"}}),
            "authorization": record(
                {
                    "type": {"const": "simple"},
                    "acls": {
                        "type": "array",
                        "items": record(
                            {
                                "resource": record(
                                    {
                                        "type": {"enum": ["topic", "group"]},
                                        "name": TEXT,
                                        "patternType": {"const": "literal"},
                                    }
                                ),
                                "operations": {"type": "array", "items": OPERATIONS},
                            }
                        ),
                    },
                }
            ),
        }
    ),
}


def check(resources: list[dict[str, Any]], topics: list[dict[str, Any]], replicas: int) -> None:
    """Exit with the reason if Strimzi would reject a resource, or it differs from the contracts."""
    for resource in resources:
        schema = record(
            {
                "apiVersion": {"const": "kafka.strimzi.io/v1"},
                "kind": {"const": resource["kind"]},
                "metadata": METADATA,
                "spec": SPECS[resource["kind"]],
            }
        )
        for error in Draft202012Validator(schema).iter_errors(resource):
            sys.exit(f"{resource['kind']} {resource['metadata']['name']}: {error.message}")
    specs = [each["spec"] for each in resources if each["kind"] == "KafkaTopic"]
    rendered = {
        spec["topicName"]: (spec["partitions"], spec["replicas"], spec["config"]) for spec in specs
    }
    min_insync = str(Replication().min_insync_of(replicas))
    declared = {
        PREFIX + topic["name"]: (
            topic["partitions"],
            replicas,
            {**topic["config"], "min.insync.replicas": min_insync},
        )
        for topic in topics
        if replicas
    }
    if rendered != declared:
        sys.exit(f"The chart's topics differ from the contracts. It renders: {rendered}")
    for topic in topics:
        readers = set(service_names() if topic["readers"] is None else topic["readers"])
        readers |= ALSO_READ.get(topic["name"], set())
        for operation, allowed in (("Read", readers), ("Write", {topic["producer"]})):
            may = who_may(operation, PREFIX + topic["name"], resources)
            if may != allowed:
                sys.exit(
                    f"{operation} {topic['name']} allows {sorted(may)}, not {sorted(allowed)}."
                )


def who_may(operation: str, topic: str, resources: list[dict[str, Any]]) -> set[str]:
    """Return the services whose users may do an operation on a topic."""
    return {
        resource["metadata"]["labels"]["app.kubernetes.io/component"]
        for resource in resources
        if resource["kind"] == "KafkaUser"
        for acl in resource["spec"]["authorization"]["acls"]
        if acl["resource"]["type"] == "topic"
        and acl["resource"]["name"] == topic
        and operation in acl["operations"]
    }


def main(rendered: Path, topics: Path, replicas: int) -> None:
    """Check Strimzi's resources, and keep the others in the file."""
    documents = resources_of(rendered)
    ours = [each for each in documents if each["apiVersion"].startswith("kafka.strimzi.io/")]
    check(ours, json.loads(topics.read_text(encoding="utf-8")), replicas)
    others = [each for each in documents if each not in ours]
    rendered.write_text(yaml.safe_dump_all(others, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
