"""One run, one folder, one process: what is let in and what is turned away."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from contextlib import closing

import pytest

from expressnet_jax.config import default, flatten
from expressnet_jax.config_differences import FREE_TO_CHANGE, differences
from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.reading import BEST, LATEST
from expressnet_jax.training.workdir import Workdir, disk_errors

HOLD = """
import sys
from expressnet_jax.training.workdir import Workdir
folder = Workdir(sys.argv[1], {})
print("held", flush=True)
sys.stdin.read()
"""


def config(**changes):
    """The default config with `section__key=value` changed."""
    config = default()
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return config.to_dict()


def checkpointed(workdir, step=3):
    """Makes the folder look as if a run had saved something in it."""
    (workdir / LATEST / str(step)).mkdir(parents=True)


def opened(workdir, config):
    with closing(Workdir(workdir, config)) as folder:
        return folder


def test_a_new_folder_is_made_and_keeps_the_config(tmp_path):
    folder = opened(tmp_path / "runs" / "a", config(seed=3))
    assert json.loads((folder.path / "config.json").read_text())["seed"] == 3
    assert folder.metrics.parent == folder.path
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "config.json"]


@pytest.mark.parametrize("saved", [LATEST, BEST])
def test_a_run_goes_on_with_its_own_config_only(tmp_path, saved):
    opened(tmp_path, config())
    (tmp_path / saved / "3").mkdir(parents=True)
    opened(tmp_path, config(data__threads=7, log__every_steps=1, eval__tta="flip", mesh__model=1))
    with pytest.raises(UserError, match=r"another config \(optimizer\.learning_rate was 0\.1, now 0\.3\)"):
        opened(tmp_path, config(optimizer__learning_rate=0.3))
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["optimizer"]["learning_rate"] == 0.1 and stored["data"]["threads"] == 7


def test_a_loss_at_its_defaults_is_another_config_where_there_was_none():
    old, new = config(), config()
    old["losses"] = {"taught": {"loss": "distillation", "output": "expression"}}
    new["losses"] |= old["losses"]
    assert "losses.expression.loss was None, now cross_entropy" in differences(old, new)
    assert not differences(old, old) and not differences({**config(), "losses": {}}, config())


def test_a_run_that_saved_nothing_can_be_begun_anew_with_another_config(tmp_path):
    opened(tmp_path, config())
    opened(tmp_path, config(seed=9))
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 9


def test_a_refusal_gives_the_folder_free_at_once(tmp_path):
    opened(tmp_path, config())
    checkpointed(tmp_path)
    with pytest.raises(UserError) as refusal:  # kept, and with it the traceback that holds the refused folder
        Workdir(tmp_path, config(seed=9))
    opened(tmp_path, config())
    assert "another config" in str(refusal.value)


def test_one_process_at_a_time(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another run trains in it"):
            Workdir(tmp_path, {})
    finally:
        holder.kill()
        holder.communicate()
    opened(tmp_path, {})  # a killed run leaves no lock behind


def test_a_damaged_config_is_named(tmp_path):
    checkpointed(tmp_path)
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(UserError, match=r"config\.json can't be read"):
        opened(tmp_path, config())


def test_a_folder_that_can_not_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--workdir .*file: .*give a folder that can be written"):
        Workdir(tmp_path / "file", config())
    with pytest.raises(UserError, match="--workdir"):
        Workdir(tmp_path / "file" / "below", config())


def test_locks_that_the_disk_does_not_know_are_not_another_run(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises((UserError, OSError)) as refusal:
        Workdir(tmp_path, config())
    assert "another run" not in str(refusal.value)


def test_differences_name_the_keys_that_decide_what_is_computed():
    old, new = config(), config(train__epochs=3.0, seed=1, log__tensorboard=True)
    assert differences(old, new) == ["seed was 0, now 1", "train.epochs was 30.0, now 3.0"]
    assert differences(old, old) == []
    old["model"]["options"] = {"widths": (4, 8)}
    assert differences(json.loads(json.dumps(old)), config())[0].startswith("model.options.widths was [4, 8]")


def test_a_key_younger_than_the_run_had_its_default():
    old = config()
    del old["optimizer"]["sam"], old["losses"]
    old = json.loads(json.dumps(old))
    assert differences(old, json.loads(json.dumps(config()))) == []
    changed = json.loads(json.dumps(config(optimizer__sam=0.1)))
    assert differences(old, changed) == ["optimizer.sam was 0.0, now 0.1"]


def test_what_may_change_exists():
    keys = flatten(config())
    for free in FREE_TO_CHANGE:
        assert any(key == free or key.startswith(free + ".") for key in keys), free


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("write: No space left on device [x]")]
)
def test_a_full_disk_is_one_line_that_names_what_is_whole(tmp_path, error):
    with pytest.raises(UserError, match="no space left on device; no checkpoint was saved yet"), disk_errors(tmp_path):
        raise error
    checkpointed(tmp_path, 12)
    checkpointed(tmp_path, 7)
    with pytest.raises(UserError, match="the checkpoint of step 12 is whole"), disk_errors(tmp_path):
        raise error


@pytest.mark.parametrize("error", [UserError("Permission denied: mine"), ValueError("shape"), KeyboardInterrupt()])
def test_other_errors_pass_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as passed, disk_errors(tmp_path):
        raise error
    assert passed.value is error


def test_a_name_that_is_no_utf_8_is_refused_before_anything_is_written(tmp_path):
    """As the argument reads in a locale of another encoding; the library of checkpoints takes UTF-8 alone."""
    with pytest.raises(UserError, match=r"--workdir .*l\?uf: not a name in UTF-8, .* set PYTHONUTF8=1"):
        Workdir(tmp_path / "l\udce4uf", {})
    assert not any(tmp_path.iterdir())
