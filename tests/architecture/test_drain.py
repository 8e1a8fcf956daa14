"""The charts and the processes agree on the times while a pod leaves its Service."""

import re
from pathlib import Path

from gateway.connecting import ADDRESS_SECONDS

ROOT = Path(__file__).parents[2]
DEPLOYMENT = ROOT / "helm" / "slipway-lib" / "templates" / "_deployment.tpl"


def test_an_address_is_remembered_for_less_than_its_pod_accepts_connections():
    text = DEPLOYMENT.read_text(encoding="utf-8")
    drain = re.search(r"preStop:\s+sleep:\s+seconds: (\d+)", text)
    assert drain is not None
    assert int(drain[1]) > ADDRESS_SECONDS
