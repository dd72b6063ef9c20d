"""The filter against formulas in NumPy, and the label against what should and should not change it."""

import json

import numpy as np
import pytest

from expressnet_jax.inference.smoothing import LEAST, ODDS, TIME_CONSTANT, Smoother


def run(rows, times):
    smoother = Smoother()
    told = [smoother.update(np.array(row), time) for row, time in zip(rows, times, strict=True)]
    return np.array([p for p, _ in told]), [label for _, label in told]


def log_odds(probabilities):
    return np.log(probabilities[:, 0] / probabilities[:, 1])


BEFORE, AFTER = (0.8, 0.2), (0.1, 0.9)


@pytest.mark.parametrize("rate", [5, 24, 120])
def test_step_response_is_that_of_a_resistor_and_a_capacitor_at_any_frame_rate(rate):
    """log odds(t) = after + (before - after) exp(-t / time constant), t since the last frame of before."""
    times = np.arange(3 * rate) / rate
    probabilities, _ = run([BEFORE] * rate + [AFTER] * 2 * rate, times)
    before, after = np.log(BEFORE[0] / BEFORE[1]), np.log(AFTER[0] / AFTER[1])
    since = np.maximum(times - (rate - 1) / rate, 0)
    np.testing.assert_allclose(
        log_odds(probabilities), after + (before - after) * np.exp(-since / TIME_CONSTANT), atol=1e-12
    )


def test_impulse_response_decays_with_the_time_constant():
    """One odd frame of width dt adds (1 - exp(-dt / T)) exp(-t / T) of its difference."""
    rate = 25
    times = np.arange(50) / rate
    probabilities, _ = run([BEFORE] * 10 + [AFTER] + [BEFORE] * 39, times)
    rest, odd = np.log(BEFORE[0] / BEFORE[1]), np.log(AFTER[0] / AFTER[1])
    since = times[10:] - times[10]
    response = (1 - np.exp(-1 / rate / TIME_CONSTANT)) * np.exp(-since / TIME_CONSTANT)
    np.testing.assert_allclose(log_odds(probabilities)[:10], rest)
    np.testing.assert_allclose(log_odds(probabilities)[10:], rest + (odd - rest) * response, atol=1e-12)


def test_frames_at_uneven_times_weigh_as_long_as_they_stand():
    """Against the convolution integral over an input that each frame holds since the one before it."""
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(7), 30)
    times = np.cumsum(rng.exponential(0.05, 30)) + 1
    decay = np.exp(-(times[-1] - times) / TIME_CONSTANT)
    weights = np.concatenate([[decay[0]], np.diff(decay)])
    assert weights.sum() == pytest.approx(1)
    mean = np.exp(weights @ np.log(np.maximum(rows, LEAST)))
    np.testing.assert_allclose(run(rows, times)[0][-1], mean / mean.sum(), rtol=1e-10)


def test_the_first_frame_is_taken_as_it_is():
    probabilities, labels = run([(0.2, 0.5, 0.3)], [17.0])
    np.testing.assert_allclose(probabilities, [[0.2, 0.5, 0.3]])
    assert labels == [1]


def test_probabilities_stay_probabilities_even_of_ones_and_zeros():
    probabilities, _ = run(np.eye(7)[np.arange(70) // 10], np.arange(70) / 25)
    assert (probabilities > 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_label_changes_only_when_another_is_odds_times_as_likely():
    least = ODDS / (1 + ODDS)  # the share at which another class is ODDS times as likely
    first = [0.5, 1 - least + 0.01, 1 - least - 0.01, 0.5, least - 0.01, least + 0.01]
    rows = [(share, 1 - share) for share in first]
    _, labels = run(rows, np.arange(len(rows)) * 100.0)  # so far apart that each stands by itself
    assert labels == [0, 0, 1, 1, 1, 0]


def test_flicker_vanishes_and_a_lasting_change_comes_in_time():
    """Two classes of which noise decides, then a third one that stays: seconds, as the docstring promises."""
    rng = np.random.default_rng(4)
    rate, change = 25, 5.0
    times = np.arange(10 * rate) / rate
    logits = np.where(times[:, None] < change, (1.2, 0.8, 0.0), (0.0, 0.8, 2.0)) + rng.normal(0, 0.6, (len(times), 3))
    rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    raw, (_, shown) = rows.argmax(axis=1), run(rows, times)
    changes = lambda labels: int(np.count_nonzero(np.diff(labels)))
    assert changes(raw) > 30
    assert changes(shown) * 3 <= changes(raw)
    onset = times[max(i for i in range(len(times)) if shown[i] != 2) + 1]
    assert 0 <= onset - change <= 0.3


def test_a_smoother_restored_from_json_goes_on_to_the_last_digit():
    rng = np.random.default_rng(5)
    rows, times = rng.dirichlet(np.ones(7), 40), np.cumsum(rng.exponential(0.04, 40))
    whole, labels = run(rows, times)
    first = Smoother()
    for row, time in zip(rows[:20], times[:20], strict=True):
        first.update(row, time)
    second = Smoother.restored(json.loads(json.dumps(first.state())))
    told = [second.update(row, time) for row, time in zip(rows[20:], times[20:], strict=True)]
    np.testing.assert_array_equal([p for p, _ in told], whole[20:])
    assert [label for _, label in told] == labels[20:]


def test_a_smoother_that_saw_nothing_is_restored_as_such():
    assert Smoother.restored(Smoother().state()).level is None
