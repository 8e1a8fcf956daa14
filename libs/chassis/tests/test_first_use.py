"""The packages whose names are imported at their first use."""

import pkgutil
from importlib import import_module
from inspect import ismodule

import pytest

LAZY = (
    "chassis.audit",
    "chassis.auth",
    "chassis.database",
    "chassis.http",
    "chassis.jobs",
    "chassis.messaging",
)


@pytest.mark.parametrize("name", LAZY)
def test_each_name_of_a_package_is_found(name: str) -> None:
    package = import_module(name)
    for found in pkgutil.iter_modules(package.__path__, f"{name}."):
        import_module(found.name)  # which sets an attribute of the package
    assert package.__all__
    assert [one for one in package.__all__ if ismodule(getattr(package, one))] == []


@pytest.mark.parametrize("name", LAZY)
def test_other_names_are_not(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        import_module(name).nothing  # noqa: B018 - the look-up is what is tested
