"""A run's step compiled for a target: by this machine's compiler in the target's place, and by the targets' own."""

import json
import sys

import jax
import pytest

from expressnet_jax import main
from expressnet_jax.accelerators.cards import CARDS
from expressnet_jax.accelerators.target import IN_CHILD, parse_target
from expressnet_jax.accelerators.topology import topology_devices
from expressnet_jax.bench.commands import _compile_table
from expressnet_jax.bench.compile import bench_compile, network_shapes
from expressnet_jax.errors import UserError
from expressnet_jax.training.classification import build_experiment
from expressnet_jax.training.cost import compile_step

pytest_plugins = ["run_fixtures"]


@pytest.fixture
def two_cpus(monkeypatch):
    """Two of this machine's devices stand for the target's."""
    monkeypatch.setattr(compile_step, "topology_devices", lambda target: jax.devices()[:2])
    monkeypatch.setattr(compile_step, "lowering_platform", lambda target: "cpu")


def test_a_runs_step_is_compiled_as_the_target_would_run_it(two_cpus, tiny_config):
    figures = compile_step.compile_run(
        tiny_config(train__steps_per_call=2), build_experiment, parse_target("gpu:h200:2")
    )
    assert json.loads(json.dumps(figures)) == figures
    assert figures["batch_size"] == 16 and figures["steps_per_call"] == 2 and figures["dtype"] == "bfloat16"
    assert figures["kernels"] > 10 and figures["flops"] > 1e6 and figures["fits"]
    # The gradient of every weight is summed over the devices once a step, in single precision, with few other sums.
    count = 4 * 363_655
    assert count <= figures["collectives"]["bytes"] < 1.1 * count
    # All images lie on the device, as they do where they take less than a fifth of its memory.
    assert figures["memory_bytes"]["arguments"] > 3 * count + 60 * 32 * 32
    assert jax.default_backend() == "cpu"


def test_a_batch_that_the_target_can_not_share_is_refused(two_cpus, tiny_config):
    with pytest.raises(UserError, match=r"train\.batch_size: 15 can't be split evenly over 2 devices"):
        compile_step.compile_run(tiny_config(train__batch_size=15), build_experiment, parse_target("gpu:h200:2"))


def test_a_target_without_dry_run_is_refused(tiny_config):
    with pytest.raises(UserError, match="only compiles; give --dry_run with it, or leave it out to train"):
        main.compile_for_target(tiny_config(), "gpu:h200", dry=False)


def test_the_process_that_compiles_prints_figures_and_the_first_one_lines(monkeypatch, capsys, tiny_config):
    figures = {"kernels": 3}
    monkeypatch.setattr(
        compile_step, "compile_run", lambda config, build_experiment, target: figures | {"target": target.text}
    )
    monkeypatch.setenv(IN_CHILD, "gpu:h200")
    assert main.compile_for_target(tiny_config(), "gpu:h200", dry=True) == 0
    assert json.loads(capsys.readouterr().out) == {"kernels": 3, "target": "gpu:h200"}
    monkeypatch.delenv(IN_CHILD)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "expressnet_jax.main", "--target=gpu:h200"])
    asked = []
    monkeypatch.setattr(
        "expressnet_jax.accelerators.compiler_process.run_compiler",
        lambda target, command: asked.append((target.text, command)) or figures,
    )
    monkeypatch.setattr(
        "expressnet_jax.accelerators.report.target_lines", lambda found: [f"{found['kernels']} kernels"]
    )
    assert main.compile_for_target(tiny_config(), "gpu:h200", dry=True) == 0
    assert capsys.readouterr().out == "3 kernels\n"
    assert asked == [("gpu:h200", ["-m", "expressnet_jax.main", "--target=gpu:h200"])]


@pytest.mark.parametrize(("package", "target"), [("libtpu", "tpu:v5e:2x2"), ("jax_cuda13_plugin", "gpu:h200")])
def test_the_targets_own_compiler_compiles_the_smallest_network(package, target):
    pytest.importorskip(package, reason=f"{package} is not installed: nothing can be compiled for {target}")
    options = {"optimizer": "sgd", "size": 32, "channels": 1, "batch_size": 16, "dtype": "auto", "steps": 2}
    figures = bench_compile([target], model="plain_cnn", **options)
    (found,) = figures["targets"]
    assert (
        found["kernels"] > 10
        and found["bytes"] > 1e5
        and found["card_memory_bytes"] == CARDS[target.split(":")[1]].memory
    )
    params = network_shapes("plain_cnn", **options).state.params
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert sum(found["memory_bytes"].values()) > 3 * 4 * count  # weights, momentum, averages
    if target.startswith("tpu"):
        assert found["gathers"] == 0
        assert 2 * count <= found["collectives"]["bytes"] < 4.1 * count  # gradients, in half precision or in single
    assert f"| `{target}` |" in _compile_table(figures)


def test_a_topology_has_the_chips_of_its_target(monkeypatch):
    """Parts of a host, and TPU v4's chips of two cores."""
    pytest.importorskip("libtpu", reason="libtpu is not installed: there are no topologies of TPUs")
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    for text in ("tpu:v5e:1x1", "tpu:v5e:4x4", "tpu:v4:1x1x1", "tpu:v4:2x2x2", "tpu:v6e:2x4"):
        target = parse_target(text)
        assert len(topology_devices(target)) == target.devices, text
