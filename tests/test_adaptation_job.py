"""Adaptation from end to end on a tiny shift: domains, runs that resume, the harness, and what is refused."""

import json
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expressnet_jax import cli
from expressnet_jax.adaptation import compare_methods, experiment
from expressnet_jax.adaptation.default_config import adaptation_config
from expressnet_jax.adaptation.domains import KNOWN_PEOPLE, labelled_examples, load_domains
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.store import load
from expressnet_jax.errors import Interrupted, UserError
from expressnet_jax.models.registry import create_model
from expressnet_jax.training import loop
from expressnet_jax.training.checkpoints.manager import Checkpoints
from expressnet_jax.training.checkpoints.reading import describe, load_checkpoint
from expressnet_jax.training.state import TrainState
from runs import CLASSES, arrays, history, train, write_images
from weights import drawn_weights

pytest_plugins = ["run_fixtures"]
OPTIONS = {"widths": (4,), "depths": (1,), "stem_width": 4, "attention": "none"}
SHORT = {
    "data.size": 32,
    "data.name": "tiny",
    "adapt.target": "other",
    "train.batch_size": 16,
    "train.epochs": 2.0,
    "train.steps_per_call": 1,  # one program, whatever number of steps is left
    "eval.batch_size": 16,
    "eval.every_epochs": 1.0,
    "checkpoint.every_epochs": 1.0,
    "checkpoint.keep": 99,
    "augment.pad": 0,
    "augment.crop": 0,
} | {f"augment.{name}": 0.0 for name in ("rotate", "zoom", "brightness", "contrast")}  # the mirror is enough to compile


@pytest.fixture(scope="module")
def places(tmp_path_factory, tiny_config, data_dir):
    """Where data and the source's checkpoint lie: `tiny` and, of other classes in part, `other`."""
    root = tmp_path_factory.mktemp("adaptation")
    images = write_images(root / "images", {"train": 20, "validation": 8}, ("happy", "neutral", "surprised"))
    prepare("folder", images, data_dir, name="other")
    for name, classes in (("apart", ("fear", "surprised")), ("lonely", ("happy", "neutral"))):
        few = write_images(root / name, {"train": 20 if name == "apart" else 1, "validation": 4}, classes)
        prepare("folder", few, data_dir, name=name)
    config = tiny_config(**{"model__name": "expressnet_tiny", "model__dropout": 0.0, "train__epochs": 3.0})
    config.model.options.update(OPTIONS)
    train(config, root / "source")
    return data_dir, root / "source"


@pytest.fixture(scope="module")
def make_config(places):
    """(method, key=value, ...) -> the config of an adaptation from tiny to other."""

    def make(method="mmd", **changes):
        config = adaptation_config("tiny", "other", method)
        changes = {name.replace("__", "."): value for name, value in changes.items()}
        where = {"data.dir": str(places[0]), "init_from": str(places[1]), "model.name": "expressnet_tiny"}
        config.update_from_flattened_dict(SHORT | where | {"model.dropout": 0.0} | changes)
        config.model.options.update(OPTIONS)
        return config

    return make


@pytest.fixture(scope="module")
def straight(make_config, tmp_path_factory):
    """(method, images that recalibrate) -> the folder of a finished run, and what it printed."""

    @cache
    def run(method, recalibration):
        folder, printed = tmp_path_factory.mktemp(method), StringIO()
        config = make_config(method, adapt__bn_recalibration_images=recalibration)
        with redirect_stdout(printed), redirect_stderr(printed):
            loop.train(config, folder, experiment.build_experiment).finish(folder)
        return folder, printed.getvalue()

    return run


def test_domains_share_their_classes_and_say_what_is_left_out(make_config, places):
    domains = load_domains(make_config(), load_checkpoint(places[1]))
    assert domains.classes == ("happiness", "neutral")
    assert (len(domains.train), len(domains.adapt_split), len(domains.test_split)) == (40, 40, 16)
    assert domains.left_out == {"surprise": 28}
    names = [key.split("/")[1] for key in domains.adapt_split.keys]
    assert names == [{0: "happy", 1: "neutral"}[label] for label in domains.adapt_split.labels]
    assert set(domains.train.keys) < set(load("tiny", places[0]).split("train").keys)


def test_people_of_the_identity_pretraining_take_no_part_in_the_target(make_config, places, monkeypatch):
    origin = load_checkpoint(places[1])
    origin.metadata["lineage"] = [{"task": "identity", "people": ["Bo", "Cy"]}]
    original = experiment.load_domains.__globals__["selection"].select_splits

    def with_subjects(prepared, **options):
        chosen = original(prepared, **options)
        for split in (chosen.train, chosen.select):
            columns = dict(split.columns)
            columns["subject"] = np.array([["Al", "Bo", "Cy", "Di"][i % 4] for i in range(len(split))])
            split.columns = columns
        return chosen

    monkeypatch.setattr(experiment.load_domains.__globals__["selection"], "select_splits", with_subjects)
    domains = load_domains(make_config(), origin)
    assert domains.left_out[KNOWN_PEOPLE] == 28
    assert set(domains.test_split.subjects) == set(domains.adapt_split.subjects) == {"Al", "Di"}


def test_held_out_images_are_the_same_for_every_seed_and_people_are_on_one_side(make_config, places):
    origin = load_checkpoint(places[1])
    lists = [load_domains(make_config(seed=seed), origin).test_split.keys.tolist() for seed in (0, 5)]
    assert lists[0] == lists[1]


def test_k_labels_a_class(make_config, places):
    seen = load_domains(make_config(), load_checkpoint(places[1])).adapt_split
    few = labelled_examples(seen, 3, seed=0)
    assert np.bincount(few.labels).tolist() == [3, 3] and len(set(few.keys)) == 6
    assert labelled_examples(seen, 3, seed=1).keys.tolist() != few.keys.tolist()
    assert labelled_examples(seen, 0, seed=0) is seen
    with pytest.raises(UserError, match=r"labels_per_class: 30, but there are 20 images of happiness"):
        labelled_examples(seen, 30, seed=0)


REFUSED = {
    "no checkpoint": ({"init_from": ""}, "init_from: an adaptation begins with a checkpoint trained on tiny"),
    "checkpoint": ({"init_from": "nowhere"}, "nowhere: no such folder"),
    "architecture": ({"model.name": "resnet18"}, "is a expressnet_tiny, not a resnet18; use --config.model.name"),
    "no target": ({"adapt.target": ""}, "adapt.target: give the name of a prepared data set"),
    "unprepared": ({"adapt.target": "mars"}, "adapt.target: no data set 'mars' in"),
    "disjoint": ({"adapt.target": "apart"}, "label spaces share 0 classes"),
    "one image": ({"adapt.target": "lonely"}, "2 images to adapt on are fewer than a batch"),
    "batch": ({"train.batch_size": 40, "adapt.classes": ("happiness", "neutral")}, "use --config.train.batch_size"),
    "class": ({"adapt.classes": ("happiness", "fear")}, "adapt.classes: fear is not in both; the shared ones are hap"),
    "one class": ({"adapt.classes": ("happiness",)}, "adapt.classes: happiness alone; give two or more of"),
    "method": ({"adapt.method": "magic"}, "adapt.method: no method 'magic'; one of source_only"),
    "option": ({"adapt.options": {"heat": 3}}, "adapt.options: mmd has no 'heat'; it has octaves"),
    "statistics": ({"adapt.bn_domains": "both"}, "adapt.bn_domains: no 'both'; one of joint, separate"),
    "labels": ({"adapt.labels_per_class": 3}, "adapt.labels_per_class: mmd sees no target labels"),
    "teacher": ({"adapt.method": "self_training", "optimizer.ema": 0.0}, "optimizer.ema: self_training learns from"),
    "metric": ({"eval.metric": "accuracy"}, "eval.metric: no 'accuracy'; one of last, source_accuracy"),
    "votes": (
        {"losses.expression.soft_targets": "votes"},
        "losses.expression.soft_targets: an adaptation learns from labels",
    ),
    "balance": ({"data.balance": 1.0}, "data.balance: an adaptation draws both domains as they come"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_adapted_is_one_line_and_writes_nothing(make_config, tmp_path, name):
    changes, expected = REFUSED[name]
    changes = dict(changes)
    options = changes.pop("adapt.options", {})
    if name == "batch":
        changes["adapt.target"] = "lonely"
    config = make_config(**{key.replace(".", "__"): value for key, value in changes.items()})
    config.adapt.options.update(options)
    if name == "architecture":
        config.model.options = type(config.model.options)()
    with pytest.raises(UserError) as refused:
        loop.train(config, tmp_path / "run", experiment.build_experiment)
    assert expected in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_network_without_batch_normalisation_has_no_statistics_to_adapt(make_config, tmp_path, tiny_config):
    begun, model = tiny_config(optimizer__ema=0.0), create_model("plain_cnn", 3)
    params = jax.device_put(drawn_weights(model, (1, 32, 32, 1))["params"])
    with Checkpoints(tmp_path / "plain", describe(begun.to_dict(), CLASSES, (32, 32, 1))) as checkpoints:
        checkpoints.save_best(TrainState(jnp.int32(1), params, {}, {}, {}), {"accuracy": 1.0})
    config = make_config("adabn", model__name="plain_cnn", init_from=str(tmp_path / "plain"))
    config.model.options = type(config.model.options)()
    with pytest.raises(UserError, match="plain_cnn has no batch normalisation; adabn needs it"):
        loop.train(config, tmp_path / "run", experiment.build_experiment)


@pytest.mark.parametrize(("method", "recalibration"), [("cdan", 32), ("self_training", 0)])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    make_config, straight, tmp_path, monkeypatch, method, recalibration
):
    """A discriminator, a teacher's shares and half-pooled statistics come back with the rest."""
    undisturbed, _ = straight(method, recalibration)
    config = lambda: make_config(method, adapt__bn_recalibration_images=recalibration)

    class Stops(loop.StopSignal):
        def __enter__(self):
            super().__enter__()
            self.signum = 15
            return self

    with monkeypatch.context() as patch:
        patch.setattr(loop, "StopSignal", Stops)
        with pytest.raises(Interrupted):
            loop.train(config(), tmp_path / "run", experiment.build_experiment)
    loop.train(config(), tmp_path / "run", experiment.build_experiment)
    expected, found = arrays(undisturbed), arrays(tmp_path / "run")
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name].tobytes() != found[name].tobytes()] == []
    assert history(undisturbed)[-1] == history(tmp_path / "run")[-1]


def test_a_run_says_how_good_it_is_on_what_it_saw_and_on_what_it_did_not(straight):
    folder, printed = straight("cdan", 32)
    assert "left out of it: 28 surprise" in printed
    assert "cdan, tiny to other, held-out images" in printed
    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures["transductive"]["count"] == 40 and figures["heldout"]["count"] == 16
    assert set(figures["criteria"]) >= {
        "last",
        "mutual_information",
        "negative_entropy",
        "weighted_accuracy",
        "source_accuracy",
    }
    lines = (folder / "examples.tsv").read_text().splitlines()
    assert len(lines) == 57 and lines[0] == "role\tkey\tclass\tsha256"
    checkpoint = load_checkpoint(folder)
    assert checkpoint.classes == ("happiness", "neutral")
    assert set(checkpoint.variables["params"]) == {"backbone", "head"}  # the discriminator stays behind
    assert [run["task"] for run in checkpoint.lineage] == ["classification", "adaptation"]


def test_the_harness_compares_chooses_and_goes_on_where_it_was_killed(places, tmp_path, capsys, monkeypatch):
    overrides = {"data.dir": str(places[0])} | {k: v for k, v in SHORT.items() if not k.startswith(("data", "adapt"))}
    arguments = ["adapt-bench", "--source", "tiny", "--targets", "other", "--init_from", str(places[1])]
    arguments += ["--workdir", str(tmp_path), "--methods", "source_only,mcc", "--seeds", "2", "--weights", "1,3"]
    for key, value in (overrides | {"train.epochs": 0.5}).items():
        arguments += ["--set", f"{key}={json.dumps(value) if not isinstance(value, str) else value}"]
    started = []
    original = loop.train

    def counted(config, folder, prepare):
        started.append(folder.relative_to(tmp_path).as_posix())
        if len(started) == 4:
            raise KeyboardInterrupt
        return original(config, folder, prepare)

    monkeypatch.setattr(compare_methods, "train", counted)
    assert cli.main(arguments) == 130
    assert cli.main(arguments) == 0
    mcc = [name for name in started if "mcc" in name]
    assert started[:3] == ["other/source_only/seed0", "other/source_only/seed1", "other/mcc/seed0"]
    assert started[3] == started[4] == "other/mcc/weight3" and len(started) == len(set(started)) + 1
    figures = json.loads((tmp_path / "other/results.json").read_text())
    assert list(figures["methods"]) == ["checkpoint", "source_only", "mcc", "oracle"] and figures["best"] == "mcc"
    row = figures["methods"]["mcc"]
    tried = {float(weight): criteria["mutual_information"] for weight, criteria in row["tried"].items()}
    assert row["weight"] == max(tried, key=tried.get) and len(mcc) == 4
    base = figures["methods"]["source_only"]
    gains = [row["per_seed"][seed] - base["per_seed"][seed] for seed in ("0", "1")]
    np.testing.assert_allclose(row["gain"]["mean"], np.mean(gains))
    assert figures["examples"]["heldout"]["count"] == 16 and len(figures["examples"]["heldout"]["sha256"]) == 64
    assert (tmp_path / "other/features.png").stat().st_size > 10_000
    table = (tmp_path / "other/table.md").read_text()
    assert table in capsys.readouterr().out and "| mcc |" in table

    changed = [*arguments, "--set", "optimizer.clip=1.0"]
    assert cli.main(changed) == 0  # what can't be compared is a line of its row
    figures = json.loads((tmp_path / "other/results.json").read_text())
    assert "holds another run (optimizer.clip was 0.0, now 1.0)" in figures["methods"]["mcc"]["error"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--methods", "mmd,magic"], "--methods: no method 'magic'; there are source_only"),
        (["--criterion", "accuracy"], "--criterion: no 'accuracy'; one of source_accuracy"),
        (["--seeds", "0"], "--seeds 0"),
        (["--set", "train.epoch=3"], "--set: no key 'train.epoch'; did you mean train.epochs?"),
        (["--set", "train.epochs=many"], "--set: train.epochs='many' is no float"),
        (["--weights", "a,b"], "argument --weights: invalid"),
    ],
)
def test_wrong_harnesses_are_one_line(places, tmp_path, capsys, arguments, expected):
    command = ["adapt-bench", "--source", "tiny", "--targets", "other", "--init_from", str(places[1])]
    command += ["--workdir", str(tmp_path / "runs"), "--data_dir", str(places[0]), *arguments]
    try:
        status = cli.main(command)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2 and expected in error and error.count("\n") == 1


def test_four_devices_adapt_as_one(make_config, mesh_of):
    results = []
    for data in (1, 4):
        config = make_config("cdan", adapt__bn_recalibration_images=32)
        mesh = mesh_of(data)
        prepared = experiment.build_experiment(config, mesh)
        assert [(each.prepared.name, each.labelled) for each in prepared.data] == [("tiny", True), ("other", False)]
        state = loop.init_state(
            prepared.program.init_fn, prepared.program.optimizer, mesh, pretrained=prepared.program.pretrained, ema=True
        )
        loader, _ = prepared.make_loaders()
        step = loop.make_multi_step(prepared.program.phases[0][1])
        state, _ = step(state, loader.table, next(iter(loader.start(0))))
        results.append(jax.device_get((state.params, state.loss_params, state.batch_stats)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)
