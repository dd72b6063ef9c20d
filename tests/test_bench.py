"""The bench measures what it says: the same batches twice, and their speeds."""

import json

import pytest

from expressnet_jax.bench import input as bench
from expressnet_jax.evaluation.files import write_json


def test_figures(tmp_path):
    figures = bench.bench_input(num_examples=600, size=16, batch_size=32)
    assert figures["pictures"] == [600, 16, 16, 1] and figures["batch_size"] == 32
    speed = figures["images_per_second"]
    assert set(speed) == {"pipeline", "gather"} and min(speed.values()) > 0
    assert figures["ratio"] == pytest.approx(speed["pipeline"] / speed["gather"])
    assert len(figures["ratios"]) == 6 and min(figures["ratios"]) > 0
    assert json.loads(write_json(tmp_path / "bench.json", figures).read_text()) == figures


def test_a_set_smaller_than_a_batch_is_measured_too():
    assert bench.bench_input(num_examples=20, size=8, batch_size=32)["ratio"] > 0


def test_speed_is_images_over_seconds():
    ticks = iter([10.0, 12.0])
    assert bench._speed(iter(range(100)), 5, 32, clock=lambda: next(ticks)) == 5 * 32 / 2
