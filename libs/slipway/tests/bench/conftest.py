"""What the tests of whole rows share."""

from importlib.util import find_spec

import pytest

from slipway.database import SERVICES


@pytest.fixture
def all_services() -> None:
    """Skip where slipway is tested alone: it depends on no service, and a row runs them all."""
    missing = [name for name in ("gateway", *SERVICES) if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} are not installed beside slipway")
