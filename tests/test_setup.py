"""What can't be run is refused with its key: before the data is read, or at least before the run's folder is made."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from expressnet_jax.config import default
from expressnet_jax.data import prepare
from expressnet_jax.errors import UserError
from expressnet_jax.training import classification
from expressnet_jax.training.program import best_divisor, count_steps, resolution_schedule
from expressnet_jax.training.targets import soft_targets
from expressnet_jax.training.train_data import find_prepared, load_data
from expressnet_jax.training.validate import check_config
from runs import train, write_images

pytest_plugins = ["run_fixtures"]

REFUSED = {
    "model.name": ("vgg", "no model 'vgg'; one of expressnet_tiny"),
    "model.dropout": (1.5, "it must be at least 0 and at most 1"),
    "data.reader": ("disk", "no reader 'disk'; one of auto, stream, memory, device"),
    "data.channels": (2, "1 is gray, 3 is RGB"),
    "data.size": (10, "from 28 to 512"),
    "data.threads": (0, "at least 1"),
    "augment.flip": (1.5, "at most 1"),
    "augment.crop": (64, "do not fit into images of data.size 32"),
    "augment.resize": (8, "at least 16"),
    "augment.alternating_flip": (True, "needs augment.flip=0"),
    "train.progressive_sizes": ((8, 24), "one share of the run for each"),
    "augment.rotate": (-1.0, "at least 0"),
    "train.batch_size": (0, "at least 1"),
    "train.accumulate": (0, "at least 1"),
    "train.epochs": (0.0, "above 0"),
    "train.dtype": ("float64", "one of auto, float32, bfloat16"),
    "optimizer.name": ("adagrad", "one of sgd, adam"),
    "optimizer.schedule": ("exponential", "one of constant"),
    "optimizer.learning_rate": (float("nan"), "at least 0"),
    "optimizer.step_epochs": ((5.0, -1.0), "at least 0"),
    "losses.expression.loss": ("hinge", "one of cross_entropy, focal"),
    "losses.expression.soft_targets": ("soft", "one of label, votes, both"),
    "losses.expression.class_weighting": ("sqrt", "one of none, inverse"),
    "losses.expression.effective_beta": (1.0, "at most"),
    "eval.metric": ("auc", "one of accuracy, balanced_accuracy, macro_f1"),
    "eval.tta": ("rotate", "one of none, flip, ten_crop"),
    "eval.batch_size": (0, "at least 1"),
    "eval.every_epochs": (0.0, "above 0"),
    "checkpoint.keep": (0, "at least 1"),
    "log.every_steps": (0, "at least 1"),
    "mesh.model": (0, "at least 1"),
    "seed": (-1, "at least 0"),
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_wrong_value_is_refused_with_its_key(tmp_path, tiny_config, key, monkeypatch):
    value, expected = REFUSED[key]
    monkeypatch.setattr(classification, "load_data", lambda config: pytest.fail("data was read"))
    with pytest.raises(UserError) as refused:
        train(tiny_config(**{key.replace(".", "__"): value}), tmp_path / "run")
    assert str(refused.value).startswith(key) and expected in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


REFUSED_WITH_DATA = {
    "train.batch_size=64": "train.batch_size: 64 is more than the 60 training examples",
    "train.batch_size=6": "train.batch_size: 6 can't be split evenly over 4 devices x 1 accumulation slices",
    "train.accumulate=3": "use a multiple of 12",
    "mesh.data=3": "mesh.data: 3 x mesh.model 1 is not the number of devices, 4",
    "mesh.model=3": "mesh.model: 3 does not divide the 4 devices",
    "data.name=fer2031": "data.name: no data set 'fer2031' in .*; one of fer2013, ferplus",
    "data.name=fer2013": "fer2013 is not prepared in .*; run: expressnet prepare fer2013 --source PATH",
    "data.source=none": "none: no such file or folder",
    "data.train_split=trian": "tiny has no split 'trian'; its splits are: train, validation, test",
    "data.validation_split=test": "data.validation_split: the test split never selects",
    "data.drop_leaks=True": "run `expressnet audit tiny` first",
    "losses.expression.soft_targets=votes": "losses.expression.soft_targets: tiny has no votes; use soft_targets=label",
}


@pytest.mark.parametrize("change", REFUSED_WITH_DATA)
def test_what_does_not_fit_the_data_is_refused_before_the_folder_is_made(tmp_path, tiny_config, change):
    key, value = change.split("=")
    value = {"True": True}.get(value, int(value) if value.isdigit() else value)
    config = tiny_config(**{key.replace(".", "__"): value})
    if key == "data.source":
        config.data.name = "folder"
    with pytest.raises(UserError, match=REFUSED_WITH_DATA[change]) as refused:
        train(config, tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_run_skips_bad_images_if_its_config_says_so(tmp_path, capsys):
    for i, word in enumerate(("smile", "joy", "sad", "sad")):
        path = tmp_path / "faces" / word / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), i).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    config = default()
    config.data.dir = str(tmp_path / "data")
    with pytest.raises(UserError, match=r"sad/3\.png: truncated.*--config\.data\.skip_bad=true"):
        find_prepared(config, "folder", str(tmp_path / "faces"), key="data.name")
    config.data.skip_bad = True
    assert find_prepared(config, "folder", str(tmp_path / "faces"), key="data.name").splits == {"all": 3}
    said = capsys.readouterr().err
    assert "joy and smile are both read as happiness" in said and "sad/3.png (truncated" in said


def test_a_config_of_another_kind_is_refused():
    with pytest.raises(UserError, match="get_config\\(\\) must return"):
        check_config({"model": "plain_cnn"})
    config = default().unlock()
    del config.train["accumulate"]
    with pytest.raises(UserError, match=r"train\.accumulate is missing"):
        check_config(config)
    config = default().unlock()
    config.train.warmup = 3
    with pytest.raises(UserError, match=r"no run reads train\.warmup"):
        check_config(config)


def test_options_of_a_model_are_free_in_a_config_but_checked():
    config = default()
    config.model.options.reduction = 4
    check_config(config)
    config.model.options.reductoin = 4
    with pytest.raises(UserError, match=r"expressnet_small has no 'reductoin'; it has .*reduction"):
        check_config(config)


def test_a_crop_that_would_change_the_network_is_refused(tiny_config):
    with pytest.raises(UserError, match=r"augment\.crop: this model takes images of one size only"):
        check_config(tiny_config(data__size=48, augment__crop=40))
    check_config(tiny_config(data__size=48, augment__crop=40, model__name="expressnet_tiny"))


@pytest.mark.parametrize(
    ("key", "value", "package", "install"),
    [
        ("log__tensorboard", True, "tensorboardX", r"'expressnet-jax\[tensorboard\]'"),
        ("log__mlflow", True, "mlflow", r"'expressnet-jax\[mlflow\]'"),
        ("log__wandb", True, "wandb", r"'expressnet-jax\[wandb\]'"),
    ],
)
def test_a_missing_package_is_named_before_the_training(tiny_config, monkeypatch, key, value, package, install):
    monkeypatch.setattr("expressnet_jax.training.validate.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"needs {package}; pip install {install}"):
        check_config(tiny_config(**{key: value}))


def test_a_training_split_of_one_class_is_refused(tmp_path, tiny_config):
    images = write_images(tmp_path / "images", {"train": 3}, classes=("anger",))
    write_images(tmp_path / "images", {"validation": 3}, classes=("fear", "anger"))
    prepare.prepare("folder", images, tmp_path / "data", name="one")
    with pytest.raises(UserError, match="every training example is 'anger'"):
        load_data(tiny_config(data__name="one", data__dir=str(tmp_path / "data")))


def test_a_run_may_begin_with_smaller_images(tiny_config):
    config = tiny_config(
        train__progressive_sizes=(16, 24), train__progressive_until=(0.3, 0.75), model__name="expressnet_tiny"
    )
    check_config(config)
    plan = count_steps(config, 60)._replace(total=45, steps_per_call=1)
    assert resolution_schedule(config, plan) == [(0, 16), (14, 24), (34, 0)]
    assert resolution_schedule(config, plan._replace(steps_per_call=8)) == [(0, 16), (16, 24), (32, 0)]
    with pytest.raises(
        UserError, match=r"this model takes images of one size only; leave out train.progressive_sizes=24"
    ):
        check_config(tiny_config(train__progressive_sizes=(24,), train__progressive_until=(0.5,)))


def test_a_plan_counts_steps(tiny_config):
    plan = count_steps(tiny_config(train__epochs=2.0, eval__every_epochs=0.5, checkpoint__every_epochs=4.0), 60)
    assert (plan.total, plan.per_epoch, plan.evaluate_every, plan.save_every) == (8, 3.75, 2, 15)
    assert best_divisor(9024) == 32 and best_divisor(8971) == 9 and best_divisor(37) == 19 and best_divisor(5, 5) == 5


def test_no_call_on_an_accelerator_is_longer_than_what_lies_between_evaluations(tiny_config, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert count_steps(tiny_config(), 60).steps_per_call == 3  # of 30 steps with an evaluation every 4
    assert count_steps(tiny_config(checkpoint__every_epochs=0.5, train__epochs=16.0), 60).steps_per_call == 2
    assert count_steps(tiny_config(train__epochs=0.5, eval__every_epochs=1.0), 60).steps_per_call == 2
    assert count_steps(tiny_config(train__steps_per_call=7), 60).steps_per_call == 7


def test_soft_targets_are_votes_labels_or_half_of_each():
    votes = np.array([[0.25, 0.75, 0], [0, 0, 1]], np.float32)
    split = SimpleNamespace(votes=votes, labels=np.array([0, 2]), classes=("a", "b", "c"))
    expected = {"label": None, "votes": votes, "both": [[0.625, 0.375, 0], [0, 0, 1]]}
    for name, wanted in expected.items():
        found = soft_targets(name, "fer2013", split)
        assert found is None if wanted is None else np.allclose(found, wanted)
