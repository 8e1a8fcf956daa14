"""The charts and the processes agree on the times while a pod leaves its Service."""

import json
from pathlib import Path

import pytest
import yaml

from gateway.connecting import ADDRESS_SECONDS

HELM = Path(__file__).parents[2] / "helm"
DNS_SECONDS = 30  # kubeadm's CoreDNS gives its records this TTL


@pytest.mark.parametrize("chart", ["gateway", "service"])
def test_an_address_is_remembered_for_less_than_its_pod_accepts_connections(chart):
    values = yaml.safe_load((HELM / chart / "values.yaml").read_text(encoding="utf-8"))
    assert values["api"]["drainSeconds"] > DNS_SECONDS + ADDRESS_SECONDS


def test_no_value_makes_it_shorter_than_the_gateway_remembers_an_address():
    definitions = json.loads((HELM / "slipway-lib/definitions.json").read_text(encoding="utf-8"))
    assert definitions["api"]["properties"]["drainSeconds"]["minimum"] > ADDRESS_SECONDS
