"""How long work that is done from time to time pauses."""

import pytest

from chassis.backoff import pause_by_share

FROZEN = 600.0


@pytest.mark.parametrize(
    ("took", "pause"),
    [
        pytest.param(0.001, 5, id="short work"),
        pytest.param(0.5, 25, id="its share"),
        pytest.param(FROZEN, 60, id="the process did not run meanwhile"),
    ],
)
def test_the_pause_after_work_is_a_share_of_its_time_within_bounds(took: float, pause: float):
    assert pause_by_share(took, share=0.02, shortest=5, longest=60) == pytest.approx(pause)
