"""The speed that a log line states, and the trace of some steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.training.cost import speed
from expressnet_jax.training.cost.profiling import StepProfile, check_profile_steps
from expressnet_jax.training.cost.speed import Speed, peak_of_devices


class Clock:
    """Says what it is set to."""

    now = 100.0

    def perf_counter(self):
        return self.now


def product_step(state, batch, seed):
    """A step whose arithmetic is one matrix product."""
    return state, {"loss": (batch["image"] @ state).sum()}


def test_figures_are_those_of_the_clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    found = Speed(batch_size=16)

    def slow():
        for _ in range(4):
            clock.now += 0.5  # a batch takes half a second to come
            yield {"image": np.zeros(3)}

    for _ in found.timed(slow()):
        clock.now += 1.5
        found.steps += 2
    assert found.figures() == {"images_per_second": 16.0, "step_ms": 1000.0, "input_wait_ms": 250.0}
    found.restart()
    clock.now += 2
    assert found.figures()["images_per_second"] == 0


def test_the_share_of_the_peak_is_counted_where_the_card_is_known(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(speed, "time", clock)
    weight, batches = jnp.ones((32, 64)), {"image": jnp.ones((2, 16, 32))}
    found, unknown = Speed(16, peak=1e6), Speed(16)
    for each in (found, unknown):
        each.count_flops(product_step, weight, None, batches)
        each.steps += 10
    clock.now += 4
    product = 2 * 16 * 32 * 64  # of one of the two steps
    assert found.flops == pytest.approx(product, rel=0.05)
    assert found.figures()["mfu"] == 10 * found.flops / 4 / 1e6
    assert found.figures()["tflops_per_second"] == 10 * found.flops / 4 / 1e12
    assert unknown.flops == 0 and "mfu" not in unknown.figures()


def test_the_peak_is_that_of_all_devices(monkeypatch):
    assert peak_of_devices("float32") == 0  # a CPU's is not in the table

    class Device:
        device_kind = "NVIDIA H200"

    monkeypatch.setattr(jax, "devices", lambda: [Device()] * 4)
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    assert peak_of_devices("bfloat16") == 4 * 989e12


def test_the_steps_asked_for_are_in_the_trace_and_no_other(tmp_path):
    double = jax.jit(lambda x: 2 * x)
    state = double(jnp.ones(8))
    with StepProfile((3, 5), tmp_path) as profile:
        for step in range(8):
            with profile.call(step, 1):
                state = double(state)
            profile.end(step + 1, state)
    (trace,) = tmp_path.rglob("*.xplane.pb")
    events = [
        dict(event.stats)
        for plane in jax.profiler.ProfileData.from_file(str(trace)).planes
        for line in plane.lines
        for event in line.events
        if event.name == "train"
    ]
    assert sorted(event["step_num"] for event in events) == [3, 4]


def test_a_run_that_ends_early_keeps_its_trace_and_one_without_steps_writes_none(tmp_path):
    with StepProfile((0, 100), tmp_path / "early") as profile, profile.call(0, 4):
        jnp.ones(3).block_until_ready()
    assert len([*(tmp_path / "early").rglob("*.xplane.pb")]) == 1
    with StepProfile((), tmp_path / "none") as profile, profile.call(0, 4):
        profile.end(4, None)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("steps", [(5,), (5, 5), (-1, 3), (1, 2, 3)])
def test_profile_steps_that_are_no_range_are_refused(steps):
    with pytest.raises(UserError, match=r"log\.profile_steps: .*give the first step and the one after the last"):
        check_profile_steps(steps)
