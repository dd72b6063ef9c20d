"""A run remembers what it learns from: it goes on with nothing else, and an evaluation counts what it has seen."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from expressnet_jax import cli
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.store import load
from expressnet_jax.errors import UserError
from expressnet_jax.training.checkpoints.data_identity import (
    Learned,
    check_same,
    in_words,
    read_trained_on,
    seen_in_training,
)
from expressnet_jax.training.checkpoints.inference import write_inference_checkpoint
from expressnet_jax.training.checkpoints.manager import saved_steps
from expressnet_jax.training.checkpoints.reading import BEST, LATEST, load_checkpoint
from expressnet_jax.training.loop import other_data
from runs import train, write_images

pytest_plugins = ["run_fixtures"]

SMALLEST = {"widths": (4,), "depths": (1,), "stem_width": 4}
SHORT = {"train__epochs": 1.0, "model__name": "expressnet_tiny", "data__name": "folder", "augment__flip": 0.0}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Sixty images without splits, of which six of ten train."""
    root = tmp_path_factory.mktemp("source") / "OUT"
    return write_images(root / "first", {"": 20})


@pytest.fixture(scope="module")
def make_config(tiny_config, tmp_path_factory, source):
    data_dir = tmp_path_factory.mktemp("stored")
    settings = SHORT | {"data__dir": str(data_dir), "data__source": str(source), "data__holdout": 0.5}

    def make(**changes):
        config = tiny_config(**settings | changes)
        config.model.options.update(SMALLEST)
        return config

    return make


@pytest.fixture(scope="module")
def finished(tmp_path_factory, make_config):
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(make_config(), folder)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run that a test may go on with."""
    return shutil.copytree(finished, tmp_path / "run")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_checkpoints_say_what_they_were_trained_on(finished, make_config):
    prepared = load("folder", Path(make_config().data.dir))
    for folder in (LATEST, BEST):
        (record,) = load_checkpoint(finished / folder).metadata["trained_on"]
        assert (record["name"], record["identity"]) == ("folder", prepared.identity)
        assert (record["source"], record["splits"], record["split"]) == ("OUT/first", {"all": 60}, "all")
        assert record["examples"] == 30 and record["classes"] == list(prepared.classes)


def test_the_same_data_from_another_place_goes_on(run, make_config, source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "moved")
    train(make_config(data__source=str(copy)), run)
    (record,) = load_checkpoint(run / LATEST).metadata["trained_on"]
    assert record["source"] == "OUT/first"  # where the run began; the content is the same


@pytest.mark.parametrize("change", ["another", "more", "fewer", "classes"])
def test_other_data_is_refused_in_a_line_with_both_and_nothing_changes(run, make_config, source, tmp_path, change):
    other = shutil.copytree(source, tmp_path / "OUT" / "second")
    if change == "another":
        shutil.rmtree(other)
        write_images(other, {"": 21})
    if change == "more":
        cv2.imwrite(str(other / "anger/new.png"), np.zeros((32, 32), np.uint8))
    if change == "fewer":
        for path in [*other.rglob("1?.png")]:
            path.unlink()
    if change == "classes":
        (other / "anger").rename(other / "fear")
    before = content(run)
    with pytest.raises(UserError) as refused:
        train(make_config(data__source=str(other)), run)
    first, second = (prepare("folder", each, Path(make_config().data.dir)) for each in (source, other))
    expected = (
        f"--workdir {run}: was trained on {first.label} (all 60; from OUT/first); this is {second.label}"
        f" (all {second.splits['all']}; from OUT/second); give another --workdir, or the first data with"
        f" --config.data.name={first.label}"
    )
    assert str(refused.value) == expected
    assert content(run) == before


def test_the_name_with_its_identity_goes_on_whatever_was_prepared_since(run, make_config, source, tmp_path):
    first = prepare("folder", source, Path(make_config().data.dir))
    prepare("folder", write_images(tmp_path / "later", {"": 21}), Path(make_config().data.dir))
    with pytest.raises(UserError, match="was trained on"):
        train(make_config(data__source=""), run)
    train(make_config(data__source="", data__name=first.label), run)


def test_a_run_from_before_such_records_goes_on_and_has_one_from_then_on(run, make_config, capsys):
    steps = [*saved_steps(run / LATEST), *saved_steps(run / BEST)]
    for step in steps:
        path = step / "metadata" / "metadata"
        metadata = json.loads(path.read_text())
        del metadata["trained_on"]
        path.write_text(json.dumps(metadata))
    shutil.rmtree(steps[-2] if len(saved_steps(run / LATEST)) > 1 else run / "none", ignore_errors=True)
    (run / "trained_on.npz").unlink()
    train(make_config(), run)
    assert "don't say what they were trained on; from now on they do" in capsys.readouterr().err
    assert len(read_trained_on(saved_steps(run / LATEST)[-1])["labelled"]) == 30


def test_a_run_from_before_such_records_is_refused_where_its_data_has_become_smaller(run, make_config, tmp_path):
    for path in run.rglob("metadata/metadata"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"trained_on": []}))
    smaller = write_images(tmp_path / "smaller", {"": 11})
    with pytest.raises(UserError, match=r"has a checkpoint of step 2, but this data makes 1 steps; give another"):
        train(make_config(data__source=str(smaller)), run)


def learned(prepared, rows, **changes):
    name = next(iter(prepared.splits))
    return Learned(prepared, name, prepared.split(name).subset(rows))._replace(**changes)


@pytest.fixture(scope="module")
def tiny_rows(tiny):
    return lambda rows, **changes: learned(tiny, rows, **changes).record


def test_other_examples_of_the_same_set_are_refused(tiny_rows):
    check_same(Path("w"), [tiny_rows([1, 2, 3])], [tiny_rows([1, 2, 3])])
    for other in (tiny_rows([1, 2]), tiny_rows([1, 2, 4]), tiny_rows([1, 2, 3], labelled=False)):
        with pytest.raises(
            UserError, match=r"w: was trained on 3 examples of train of tiny@\w+ .*these are [23] others"
        ):
            check_same(Path("w"), [tiny_rows([1, 2, 3])], [other])


def test_other_classes_are_named(tiny_rows):
    old = tiny_rows([1])
    new = old | {"identity": "0" * 12, "classes": ["joy", "rage"]}
    with pytest.raises(UserError, match=r"tiny@000000000000 .*, whose classes are joy, rage and not anger, .*; give"):
        check_same(Path("w"), [old], [new])


def test_another_target_of_an_adaptation_is_refused(tiny_rows, make_config, source):
    target = learned(prepare("folder", source, Path(make_config().data.dir)), [0, 1], labelled=False).record
    both = [tiny_rows([1]), target]
    check_same(Path("w"), both, [dict(each) for each in both])
    with pytest.raises(UserError) as refused:
        check_same(Path("w"), both, [both[0], both[0]])
    label = f"{target['name']}@{target['identity']}"
    assert f"was trained on {in_words(target)}" in str(refused.value)
    assert str(refused.value).endswith(f"--config.adapt.target={label}")


def test_processes_with_other_data_are_told_apart():
    assert other_data({"data": ["a@1:x"]}, {"data": ["a@1:x"]}) == []
    assert other_data({"data": ["a@1:x"]}, {"data": ["a@2:x"]}) == ["data was a@1:x, now a@2:x"]


# Evaluation.


def evaluate(capsys, workdir, data, data_dir, tmp_path, *more):
    json_file = tmp_path / "figures.json"
    options = ["--checkpoint", workdir, "--data", data, "--data_dir", data_dir, "--json", json_file, *more]
    assert cli.main(["evaluate", *map(str, options)]) == 0
    return json.loads(json_file.read_text()), capsys.readouterr().out


def test_evaluation_counts_what_the_checkpoint_was_trained_on(finished, make_config, source, tmp_path, capsys):
    """By name, and as a folder elsewhere with other file names and one image of its own."""
    data_dir = Path(make_config().data.dir)
    prepare("folder", source, data_dir)
    figures, out = evaluate(capsys, finished, "folder", data_dir, tmp_path)
    known = figures["trained_on"]
    assert (known["images"], known["of"], known["others"]) == (30, 60, 30)
    assert "warning: 30 of the 60 images have the very pixels of training images" in out
    copy = shutil.copytree(source, tmp_path / "copy")
    for path in [*copy.rglob("*.png")]:
        path.rename(path.with_name(f"renamed{path.name}"))
    cv2.imwrite(str(copy / "anger/new.png"), np.zeros((32, 32), np.uint8))
    again, out = evaluate(capsys, finished, copy, tmp_path / "none", tmp_path)
    assert (again["trained_on"]["images"], again["trained_on"]["of"]) == (30, 61) and "warning: 30 of the 61" in out


def test_what_was_held_out_is_no_false_alarm(finished, make_config, source, tmp_path, capsys):
    prepared = prepare("folder", source, Path(make_config().data.dir))
    checkpoint, split = load_checkpoint(finished), prepared.split("all")
    seen = seen_in_training(checkpoint, prepared, "all", split)["labelled"]
    assert seen.sum() == 30
    held = write_images(tmp_path / "other", {"": 4}, size=40)
    figures, out = evaluate(capsys, finished, held, tmp_path / "none", tmp_path)
    assert figures["trained_on"]["images"] == 0 and "warning" not in out
    heldout = split.subset(np.flatnonzero(~seen))
    assert not seen_in_training(checkpoint, prepared, "all", heldout)["labelled"].any()


def test_a_checkpoint_without_its_run_knows_the_set_that_it_was_trained_on(run, make_config, source, tmp_path):
    """The settings choose the same examples again; of other sets nothing is known."""
    whole = load_checkpoint(run)
    prepared = prepare("folder", source, Path(make_config().data.dir))
    split = prepared.split("all")
    expected = seen_in_training(whole, prepared, "all", split)["labelled"]
    alone = load_checkpoint(shutil.copytree(whole.path, tmp_path / "alone" / "best" / whole.path.name))
    np.testing.assert_array_equal(seen_in_training(alone, prepared, "all", split)["labelled"], expected)
    other = prepare("folder", write_images(tmp_path / "more", {"": 3}), tmp_path / "data")
    assert seen_in_training(alone, other, "all", other.split("all")) is None
    slim = load_checkpoint(write_inference_checkpoint(whole, tmp_path / "slim"))
    assert [each["source"] for each in slim.metadata["trained_on"]] == [""]


def test_what_the_first_of_two_runs_learned_from_is_known_of_the_second(finished, make_config, source, tmp_path):
    later = write_images(tmp_path / "later", {"": 12}, classes=("fear", "sadness", "surprise"))
    config = make_config(data__source=str(later), init_from=str(finished), data__dir=str(tmp_path / "data"))
    train(config, tmp_path / "tuned")
    prepared = prepare("folder", source, tmp_path / "data")
    seen = seen_in_training(load_checkpoint(tmp_path / "tuned"), prepared, "all", prepared.split("all"))
    assert seen["labelled"].sum() >= 30
