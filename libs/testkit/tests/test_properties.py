"""Properties are judged by what they say, not by how fast this machine is."""

from hypothesis import HealthCheck, settings

AT_IMPORT = settings()  # when a test binds them


def test_no_property_fails_because_the_machine_is_under_load():
    assert AT_IMPORT.deadline is None
    assert HealthCheck.too_slow in AT_IMPORT.suppress_health_check
