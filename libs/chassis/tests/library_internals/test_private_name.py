"""A canary that fails says which name of which release has changed, and who uses it."""

from importlib.metadata import version

import pytest

from testkit.library_internals import PrivateName


class Parser:
    """Of a library."""

    def feed(self, data, end):
        del data, end


def canary(name, parameters=None):
    return PrivateName(
        library="pytest", owner=Parser, name=name, parameters=parameters, used_by="chassis.x"
    )


def test_a_name_that_is_there_and_takes_the_same_passes():
    canary("feed").check()
    canary("feed", "self, data, end").check()


def test_a_name_that_no_longer_exists_fails():
    with pytest.raises(AssertionError) as failed:
        canary("stop").check()
    text = str(failed.value)
    assert text.startswith(f"pytest {version('pytest')}: Parser.stop is gone. chassis.x uses it")


def test_a_name_that_takes_something_else_fails():
    with pytest.raises(
        AssertionError, match=r"accepts \(self, data, end\), and accepted \(self, data\)"
    ):
        canary("feed", "self, data").check()
