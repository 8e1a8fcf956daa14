"""Fixtures for the tests of whole rows."""

from importlib.util import find_spec

import pytest

from slipway.services import SERVICES


@pytest.fixture(scope="session")
def all_services() -> None:
    """Skip if the package is tested alone: it depends on no service, but a row runs them all."""
    missing = [name for name in ("gateway", *SERVICES) if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} are not installed beside slipway")
