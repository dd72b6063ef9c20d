"""A checkpoint as everything after training reads it: found, whole, of this project, or refused in a line."""

import json
import shutil
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from expressnet_jax.cli import main
from expressnet_jax.config import default
from expressnet_jax.errors import UserError
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.checkpoints.average import average_checkpoints
from expressnet_jax.training.checkpoints.inference import write_inference_checkpoint
from expressnet_jax.training.checkpoints.manager import Checkpoints
from expressnet_jax.training.checkpoints.reading import BEST, LATEST, describe, find_checkpoint, load_checkpoint
from expressnet_jax.training.state import TrainState
from weights import drawn_weights

SHAPE = (32, 32, 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, mesh_of):
    """A run's folder with a plain CNN of three classes and its average."""
    folder = tmp_path_factory.mktemp("trained")
    config = default()
    config.model.name, config.optimizer.ema = "plain_cnn", 0.9
    model = create_model("plain_cnn", 3)
    params = drawn_weights(model, (1, *SHAPE))["params"]
    place = lambda tree: jax.device_put(tree, NamedSharding(mesh_of(1), P()))
    average = {"params": jax.tree.map(lambda x: x + 1, params), "batch_stats": {}}
    state = place(TrainState(jnp.int32(7), params, {}, (), average))
    with Checkpoints(folder, describe(config.to_dict(), ("anger", "fear", "neutral"), SHAPE)) as checkpoints:
        checkpoints.save_best(state, {"accuracy": 0.5})
        checkpoints.save(state)
    return folder, average["params"]


def test_a_checkpoint_is_read_with_its_averaged_weights(trained):
    folder, average = trained
    checkpoint = load_checkpoint(folder)
    assert checkpoint.path == folder / BEST / "7" and checkpoint.step == 7
    assert checkpoint.classes == ("anger", "fear", "neutral") and checkpoint.image_shape == SHAPE
    jax.tree.map(np.testing.assert_array_equal, checkpoint.variables["params"], average)
    assert checkpoint.metadata["metrics"] == {"accuracy": 0.5}
    logits = checkpoint.model.apply(checkpoint.variables, jnp.zeros((2, *SHAPE))).heads["expression"]
    assert logits.shape == (2, 3)


@pytest.mark.parametrize("inside", ["", BEST, f"{BEST}/7", LATEST, f"{LATEST}/7"])
def test_a_checkpoint_is_found_from_the_run_or_any_folder_in_it(trained, inside):
    found = find_checkpoint(trained[0] / inside)
    assert found == trained[0] / (LATEST if inside.startswith(LATEST) else BEST) / "7"


def tampered(folder, change):
    path = folder / "metadata" / "metadata"
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


BROKEN = {
    "missing": (lambda folder: shutil.rmtree(folder), "no checkpoint in it"),
    "no metadata": (lambda folder: shutil.rmtree(folder / "metadata"), "not a checkpoint of this project, or damaged"),
    "another project's": (
        lambda folder: (folder / "metadata" / "metadata").write_text('{"tree": 1}'),
        "not a checkpoint of this project",
    ),
    "torn metadata": (
        lambda folder: (folder / "metadata" / "metadata").write_text('{"model": {"na'),
        "not a checkpoint of this project, or damaged",
    ),
    "other classes": (
        lambda folder: tampered(folder, lambda m: m.update(classes=["a", "b"])),
        "its arrays are damaged or no plain_cnn of 2 classes",
    ),
    "other model": (
        lambda folder: tampered(folder, lambda m: m["model"].update(name="expressnet_tiny")),
        "its arrays are damaged or no expressnet_tiny of 3 classes",
    ),
    "no such model": (
        lambda folder: tampered(folder, lambda m: m["model"].update(name="vgg")),
        "no model 'vgg'; one of",
    ),
    "torn arrays": (lambda folder: (folder / "model" / "manifest.ocdbt").unlink(), "its arrays are damaged"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_checkpoint_is_one_line(tmp_path, trained, kind, capfd):
    folder = Path(shutil.copytree(trained[0] / BEST, tmp_path / "run" / BEST)) / "7"
    damage, expected = BROKEN[kind]
    damage(folder)
    with pytest.raises(UserError, match=expected) as raised:
        load_checkpoint(tmp_path / "run")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 700
    assert capfd.readouterr().err == ""


def test_a_path_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(UserError, match="no such folder; give a run's --workdir"):
            load_checkpoint(path)


def test_nothing_in_a_checkpoint_is_pickled(trained):
    with warnings.catch_warnings(), ocp.PyTreeCheckpointer() as reader:
        warnings.simplefilter("ignore")
        assert set(reader.restore(trained[0] / BEST / "7" / "model")) == {"params", "batch_stats", "ema"}
    names = {path.suffix for path in trained[0].rglob("*") if path.is_file()}
    assert not names & {".pkl", ".pickle", ".pt", ".npy"}


def test_a_slim_copy_predicts_the_same_and_says_nothing_of_the_machine(trained, tmp_path):
    whole = load_checkpoint(trained[0])
    paths = {"init_from": "/somewhere/runs/before", "export": "/somewhere/x.onnx", "teachers": ["/somewhere/a.onnx"]}
    config = whole.metadata["config"] | paths
    slim = write_inference_checkpoint(whole._replace(metadata=whole.metadata | {"config": config}), tmp_path / "slim")
    found = load_checkpoint(slim)
    jax.tree.map(np.testing.assert_array_equal, found.variables, whole.variables)
    assert (found.classes, found.image_shape) == (whole.classes, whole.image_shape)
    assert "somewhere" not in json.dumps(found.metadata) and found.metadata["config"]["data"]["dir"] == ""
    size = lambda folder: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size(slim) < 0.7 * size(whole.path)
    with pytest.raises(UserError, match="is there already"):
        write_inference_checkpoint(whole, slim)


def test_the_mean_of_two_runs_is_that_of_every_weight(trained, tmp_path, capsys):
    later = load_checkpoint(trained[0])
    first = later._replace(variables=jax.tree.map(lambda x: 5 - 2 * np.asarray(x), later.variables))
    write_inference_checkpoint(first, tmp_path / "first")
    words = ["average", str(tmp_path / "first"), str(trained[0]), "--output", str(tmp_path / "mean")]
    assert main([*words, "--weights", "1,3"]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {tmp_path / 'mean'}: 25% ")
    expected = jax.tree.map(lambda x: np.float32(0.25 * (5 - 2 * np.asarray(x)) + 0.75 * x), later.variables)
    found = load_checkpoint(tmp_path / "mean")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), found.variables, expected)
    assert found.classes == later.classes
    data = [{"name": name, "identity": name, "source": ""} for name in "ab"]
    sets = [later._replace(metadata=later.metadata | {"trained_on": records}) for records in (data, data[1:])]
    assert average_checkpoints(sets, (0.5, 0.5)).metadata["trained_on"] == [data[1], data[0]]


def test_no_mean_is_made_of_different_networks_or_wrong_weights(trained, tmp_path):
    checkpoint = load_checkpoint(trained[0])
    other = checkpoint._replace(metadata=checkpoint.metadata | {"classes": ["anger", "fear", "sadness"]})
    with pytest.raises(UserError, match="has other outputs than"):
        average_checkpoints([other, checkpoint], (0.5, 0.5))
    for weights in ("1", "1,2,3", "1,-1", "1,x", "0,1"):
        assert main(["average", "a", "b", "--output", str(tmp_path / "mean"), "--weights", weights]) == 2
    assert main(["average", "a", "--output", str(tmp_path / "mean")]) == 2
