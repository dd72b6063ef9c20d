"""What is saved comes back bit for bit, and what is damaged is named and skipped."""

import errno
import logging
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.manager import DAMAGED, Checkpoints, saved_steps
from expressnet_jax.training.checkpoints.reading import BEST, LATEST
from expressnet_jax.training.state import TrainState


def state_of(step, mesh, size=1000, seed=None):
    """A state of noise, replicated over a mesh; no two steps are alike."""
    rng = np.random.default_rng(step if seed is None else seed)
    place = lambda x: jax.device_put(x, NamedSharding(mesh, P()))
    noise = lambda *shape: place(rng.normal(size=shape).astype(np.float32))
    params = {"kernel": noise(size, 3), "bias": noise(3)}
    momentum = ({"trace": jax.tree.map(lambda x: x + 1, params)}, place(np.int32(step)))
    average = {"params": jax.tree.map(lambda x: x * 2, params)}
    return TrainState(place(np.int32(step)), params, {"mean": noise(3)}, momentum, average)


def in_numpy(tree):
    return [np.array(leaf, copy=True) for leaf in jax.tree.leaves(tree)]


def same(tree, expected):
    leaves = in_numpy(tree)
    return len(leaves) == len(expected) and all(
        a.tobytes() == b.tobytes() for a, b in zip(leaves, expected, strict=True)
    )


@pytest.fixture(scope="module")
def mesh(mesh_of):
    return mesh_of(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, mesh):
    """A run's folder with the checkpoints of steps 10 and 20, and step 10 the best."""
    folder = tmp_path_factory.mktemp("whole")
    with Checkpoints(folder, {"by": "test"}) as checkpoints:
        for step, accuracy in ((10, 0.75), (20, 0.5)):
            state = state_of(step, mesh)
            checkpoints.save_best(state, {"accuracy": accuracy})
            checkpoints.save(state)
    return folder


@pytest.fixture
def copied(tmp_path, whole):
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_a_state_comes_back_bit_for_bit(whole, mesh):
    with Checkpoints(whole, {}) as checkpoints:
        restored = checkpoints.restore(state_of(0, mesh))
    assert same(restored, in_numpy(state_of(20, mesh)))


def test_without_a_checkpoint_the_state_is_as_it_was(tmp_path, mesh):
    state = state_of(0, mesh)
    with Checkpoints(tmp_path, {}) as checkpoints:
        assert checkpoints.restore(state) is state
        assert checkpoints.last_good() == "none was saved yet"


def test_it_comes_back_in_the_sharding_that_is_asked_for(whole, mesh_of, mesh):
    wide = mesh_of(4, model=2)
    target = jax.tree.map(lambda x: jax.device_put(x, NamedSharding(wide, P())), state_of(0, mesh))
    kernel = jax.device_put(target.params["kernel"], NamedSharding(wide, P("model")))
    target = target.replace(params=target.params | {"kernel": kernel})
    with Checkpoints(whole, {}) as checkpoints:
        restored = checkpoints.restore(target)
    assert restored.params["kernel"].sharding.spec == P("model")
    assert same(restored, in_numpy(state_of(20, mesh)))


@pytest.mark.parametrize("devices", [1, 4])
def test_what_is_saved_in_the_background_is_not_touched_by_donated_steps(tmp_path, mesh_of, devices):
    """Orbax writes while the next steps already overwrite the donated buffers that were saved."""
    step = jax.jit(
        lambda s: jax.tree.map(lambda x: (x * 1.5 + 1).astype(x.dtype), s).replace(step=s.step + 1), donate_argnums=0
    )
    state = step(state_of(9, mesh_of(devices), size=300_000))
    expected = in_numpy(jax.tree.map(lambda x: x + 0, state))  # of copies: reading a buffer pins it
    with Checkpoints(tmp_path, {}) as checkpoints:
        checkpoints.save(state)
        for _ in range(20):
            state = step(state)
        jax.block_until_ready(state)
        checkpoints.wait()
        restored = checkpoints.restore(state)
    assert same(restored, expected) and not same(state, expected)


def test_only_the_newest_are_kept(tmp_path, mesh):
    with Checkpoints(tmp_path, {}, keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(state_of(step, mesh))
            checkpoints.save(state_of(step, mesh))  # a second time is no error
    assert [path.name for path in saved_steps(tmp_path / LATEST)] == ["2", "3"]


def test_half_written_checkpoints_of_a_killed_run_are_cleared_away(copied, mesh):
    shutil.copytree(copied / LATEST / "20", copied / LATEST / "30.orbax-checkpoint-tmp")
    with Checkpoints(copied, {}) as checkpoints:
        assert int(checkpoints.restore(state_of(0, mesh)).step) == 20
    assert [path.name for path in sorted((copied / LATEST).iterdir())] == ["10", "20"]


def damage_of(kind):
    """What a saboteur or a dying disk does to the folder of a checkpoint."""

    def truncate(path):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def largest(folder):
        return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)

    return {
        "empty": lambda folder: [shutil.rmtree(path) for path in folder.iterdir() if path.is_dir()],
        "no model": lambda folder: shutil.rmtree(folder / "model"),
        "no optimizer": lambda folder: shutil.rmtree(folder / "optimizer"),
        "no array": lambda folder: largest(folder / "model").unlink(),
        "half an array": lambda folder: truncate(largest(folder / "optimizer")),
        "no manifest": lambda folder: (folder / "model" / "manifest.ocdbt").unlink(),
        "half a manifest": lambda folder: truncate(folder / "optimizer" / "manifest.ocdbt"),
        "half a list": lambda folder: truncate(folder / "model" / "_METADATA"),
        "half a sharding": lambda folder: truncate(folder / "model" / "_sharding"),
        "half its own facts": lambda folder: truncate(folder / "metadata" / "metadata"),
        "no index": lambda folder: shutil.rmtree(folder / "optimizer" / "d"),
    }[kind]


DAMAGES = ["empty", "no model", "no optimizer", "no array", "half an array", "no manifest", "half a manifest"]
DAMAGES += ["half a list", "half a sharding", "half its own facts", "no index"]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(copied, mesh, kind, capfd):
    said = []
    damage_of(kind)(copied / LATEST / "20")
    with Checkpoints(copied, {}, log=said.append) as checkpoints:
        restored = checkpoints.restore(state_of(0, mesh))
        assert checkpoints.last_good() == str(copied / LATEST / "10")
        checkpoints.save(state_of(20, mesh))  # its successor takes the place
    assert same(restored, in_numpy(state_of(10, mesh)))
    (line,) = said
    assert line.startswith(f"{copied / LATEST / '20'} is damaged (") and "\n" not in line and len(line) < 700
    assert (copied / DAMAGED / LATEST / "20").is_dir()
    with Checkpoints(copied, {}) as checkpoints:
        assert same(checkpoints.restore(state_of(0, mesh)), in_numpy(state_of(20, mesh)))
    captured = capfd.readouterr()
    assert captured.err == captured.out == ""
    assert logging.root.manager.disable == logging.NOTSET


def test_a_second_damaged_checkpoint_of_the_same_step_does_not_overwrite_the_first(copied, mesh):
    for _ in range(2):
        damage_of("no array")(copied / LATEST / "20")
        with Checkpoints(copied, {}, log=lambda line: None) as checkpoints:
            checkpoints.restore(state_of(0, mesh))
            checkpoints.save(state_of(20, mesh))
    assert sorted(path.name for path in (copied / DAMAGED / LATEST).iterdir()) == ["20", "20.1"]


def test_where_none_is_whole_nothing_is_moved_and_nothing_begins_anew(copied, mesh):
    for step in ("10", "20"):
        damage_of("no array")(copied / LATEST / step)
    with (
        Checkpoints(copied, {}) as checkpoints,
        pytest.raises(UserError, match=r"20 can't be read .* nor can an older one"),
    ):
        checkpoints.restore(state_of(0, mesh))
    assert [path.name for path in saved_steps(copied / LATEST)] == ["10", "20"]
    assert not (copied / DAMAGED).exists()


def best_of(folder):
    return [int(path.name) for path in saved_steps(folder / BEST)]


def test_the_best_is_the_highest_of_equals_the_latest(tmp_path, mesh):
    with Checkpoints(tmp_path, {}, metric="macro_f1") as checkpoints:
        for step, value, expected in ((1, 0.3, 1), (2, 0.5, 2), (3, 0.4, 2), (4, 0.5, 4), (5, 0.1, 4)):
            checkpoints.save_best(state_of(step, mesh), {"macro_f1": value, "accuracy": 1 - value})
            checkpoints.wait()
            assert best_of(tmp_path) == [expected]


def test_a_worse_state_is_never_written(tmp_path, mesh, monkeypatch):
    with Checkpoints(tmp_path, {}) as checkpoints:
        checkpoints.save_best(state_of(1, mesh), {"accuracy": 0.5})
        monkeypatch.setattr(checkpoints.best, "save", lambda *args, **kwargs: pytest.fail("written"))
        checkpoints.save_best(state_of(2, mesh), {"accuracy": 0.25})
        checkpoints.save_best(state_of(1, mesh), {"accuracy": 0.5})


def test_a_run_that_goes_on_knows_its_best(copied, mesh):
    with Checkpoints(copied, {}) as checkpoints:
        checkpoints.save_best(state_of(30, mesh), {"accuracy": 0.7})
        checkpoints.wait()
        assert best_of(copied) == [10]
        checkpoints.save_best(state_of(5, mesh), {"accuracy": 0.8})  # a killed run had been further than this one
    assert best_of(copied) == [5]


def test_the_latest_waits_for_the_best_of_its_step(tmp_path, mesh, monkeypatch):
    """Else a run that is killed between the two starts after an evaluation whose best state is lost."""
    with Checkpoints(tmp_path, {}) as checkpoints:
        checkpoints.save_best(state_of(1, mesh, size=100_000), {"accuracy": 0.5})
        seen, save = [], checkpoints.latest.save
        monkeypatch.setattr(checkpoints.latest, "save", lambda *a, **k: (seen.extend(best_of(tmp_path)), save(*a, **k)))
        checkpoints.save(state_of(1, mesh))
    assert seen == [1]


@pytest.mark.parametrize("text", ["metrics/metrics", "model/_sharding", "metadata/metadata"])
def test_a_best_checkpoint_without_its_figures_is_set_aside(copied, mesh, text):
    said = []
    (copied / BEST / "10" / text).write_text('{"accur')
    with Checkpoints(copied, {}, log=said.append) as checkpoints:
        checkpoints.save_best(state_of(30, mesh), {"accuracy": 0.1})
    assert best_of(copied) == [30] and (copied / DAMAGED / BEST / "10").is_dir()
    assert len(said) == 1 and "best/10 is damaged" in said[0]


def test_an_error_of_the_disk_comes_out_and_the_last_checkpoint_stays_whole(copied, mesh, monkeypatch, caplog):
    from orbax.checkpoint._src.serialization import serialization

    async def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    checkpoints = Checkpoints(copied, {})
    monkeypatch.setattr(serialization, "async_serialize_from_host", full)
    caplog.set_level(logging.CRITICAL + 1)  # Orbax logs what it raises
    checkpoints.save(state_of(30, mesh))
    with pytest.raises(OSError, match="No space left"):
        checkpoints.wait()
    monkeypatch.undo()
    with Checkpoints(copied, {}) as checkpoints:
        assert same(checkpoints.restore(state_of(0, mesh)), in_numpy(state_of(20, mesh)))
