"""A few kills of the fault harness; faults.py does many. A full disk has its tests in test_loop.py."""

from faults import harness


def test_killed_and_torn_runs_end_with_the_same_bits_and_lines():
    figures = harness(2, most=2, seed=1, fill=False)
    assert figures["kills"] == 2 and figures["exact"] == figures["runs"] >= 1
