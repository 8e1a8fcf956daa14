"""The packages whose names are imported at their first use."""

from importlib import import_module

import pytest

LAZY = ("chassis.database", "chassis.http", "chassis.messaging")


@pytest.mark.parametrize("name", LAZY)
def test_each_name_of_a_package_is_found(name: str) -> None:
    package = import_module(name)
    missing = [one for one in package.__all__ if not hasattr(package, one)]
    assert package.__all__
    assert missing == []


@pytest.mark.parametrize("name", LAZY)
def test_other_names_are_not(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        import_module(name).nothing  # noqa: B018 - the look-up is what is tested
