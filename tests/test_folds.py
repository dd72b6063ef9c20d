"""The harness of folds: who is tested where, figures by scikit-learn, a killed protocol that goes on, the command."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from expressnet_jax.cli import main
from expressnet_jax.config import default
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.sound import fit_length
from expressnet_jax.errors import Interrupted, UserError
from expressnet_jax.folds import runs
from expressnet_jax.folds.figures import bootstrap, fold_figures
from expressnet_jax.folds.harness import run_protocol
from expressnet_jax.folds.linear import log_mel_statistics, predict_folds
from expressnet_jax.folds.protocol import check_classes, make_protocol, write_protocol
from expressnet_jax.folds.runs import FoldPredictions, fold_config, gather
from recordings import tone, write_ravdess

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
ACTORS = 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    return prepare("ravdess", write_ravdess(folder / "RAVDESS", ACTORS, 2), folder / "prepared")


@pytest.fixture(scope="module")
def config(data):
    """A network of action units alone, which learns what its tiny data set is made of in a few steps."""
    config = default()
    config.data.update(name=data.label, dir=str(data.directory.parents[2]), inputs=("openface",))
    config.model.update(name="vector_mlp", dropout=0.0)
    config.train.update(batch_size=16, epochs=8.0, steps_per_call=1)
    config.optimizer.update(name="adamw", learning_rate=0.02, weight_decay=0.0)
    config.checkpoint.every_epochs = 4.0
    return config


def test_nobody_is_on_both_sides_and_the_lists_say_so(data, config, tmp_path):
    protocol = make_protocol(data, config, folds=3)
    facts = write_protocol(protocol, data, tmp_path)
    assert [set(fold["people"]) & set(other["people"]) for fold in facts["folds"] for other in facts["folds"]].count(
        set()
    ) == 6
    assert sum(fold["tests"] for fold in facts["folds"]) == len(data.split("all")) == 80
    for fold in facts["folds"]:
        content = (tmp_path / "lists" / f"fold{fold['fold']:02d}.txt").read_bytes()
        assert hashlib.sha256(content).hexdigest() == fold["sha256"]
        assert {line.split(".")[0][-2:] for line in content.decode().split()} == set(fold["people"])
    with pytest.raises(UserError, match="holds the results of other folds"):
        write_protocol(make_protocol(data, config, folds=2), data, tmp_path)


def test_leaving_one_subject_out_is_a_fold_for_each_person(data, config):
    protocol = make_protocol(data, config, one_subject=True)
    assert protocol.numbers == list(range(ACTORS))
    for number in protocol.numbers:
        assert len(set(protocol.split.subjects[protocol.tested(number)])) == 1
    with pytest.raises(UserError, match=r"data\.fold_column: the data set has no column 'fold'"):
        make_protocol(data, config, column="fold")
    with pytest.raises(UserError, match="--folds 1: ravdess has 5 people"):
        make_protocol(data, config, folds=1)


def test_a_run_holds_out_its_fold_whatever_its_seed_and_looks_at_it_once(data, config):
    from expressnet_jax.data.selection import SETTINGS, select_splits

    protocol = make_protocol(data, config, folds=3)
    for seed in (0, 7):
        own = fold_config(config, protocol, 2, seed)
        chosen = select_splits(data, **{name: own.data[name] for name in SETTINGS}, seed=own.seed)
        np.testing.assert_array_equal(chosen.select.indices, protocol.tested(2))
        assert set(chosen.train.subjects).isdisjoint(chosen.select.subjects)
        assert own.eval.every_epochs == own.train.epochs


def test_the_figures_are_scikit_learns(data):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels, people = rng.integers(0, 3, 300), rng.integers(0, 12, 300)
    probabilities = rng.dirichlet(np.ones(3), 300) + 0.7 * np.eye(3)[labels]
    probabilities /= probabilities.sum(1, keepdims=True)
    predicted, fold = probabilities.argmax(1), people % 4
    figures = fold_figures(probabilities, labels, fold, people, ("a", "b", "c"))
    expected = {
        "WAR": metrics.accuracy_score(labels, predicted),
        "UAR": metrics.recall_score(labels, predicted, average="macro"),
        "UF1": metrics.f1_score(labels, predicted, average="macro"),
    }
    for name, value in expected.items():
        assert figures["pooled"][name]["value"] == pytest.approx(value)
        low, high = figures["pooled"][name]["interval"]
        assert low < value < high
    assert list(figures["f1"].values()) == pytest.approx(metrics.f1_score(labels, predicted, average=None).tolist())
    by_fold = [metrics.accuracy_score(labels[fold == k], predicted[fold == k]) for k in range(4)]
    assert [row["WAR"] for row in figures["folds"]] == pytest.approx(by_fold)
    assert figures["across_folds"]["WAR"]["mean"] == pytest.approx(np.mean(by_fold))


def test_the_interval_is_as_wide_as_people_differ():
    """Where each person is all right or all wrong, the interval is that of people, not of examples."""
    people = np.repeat(np.arange(20), 50)
    labels = np.tile([0, 1], 500)
    predicted = np.where(people < 10, labels, 1 - labels)
    low, high = bootstrap(labels, predicted, people, 2)["WAR"]
    deviation = 0.5 / np.sqrt(20)  # of the mean of twenty coins
    assert low == pytest.approx(0.5 - 1.96 * deviation, abs=0.05)
    assert high == pytest.approx(0.5 + 1.96 * deviation, abs=0.05)


def test_logistic_regression_learns_from_training_people_alone(data, config):
    pytest.importorskip("sklearn")
    protocol = make_protocol(data, config, folds=3)
    features = protocol.split.columns["openface"]
    parts = list(predict_folds(features, protocol))
    found = gather(parts, len(protocol.split), 8)
    assert (found.argmax(1) == protocol.split.labels).mean() > 0.9
    changed = features.copy()
    changed[protocol.tested(0)] = 5.0  # what is tested has no part in what is learned from the others
    again = next(iter(predict_folds(changed, protocol)))
    np.testing.assert_allclose(again.probabilities, np.tile(again.probabilities[:1], (len(again.probabilities), 1)))
    np.testing.assert_array_equal(next(predict_folds(features, protocol)).probabilities, parts[0].probabilities)


def test_one_person_alone_can_be_trained_on(data, config):
    pytest.importorskip("sklearn")
    whole = make_protocol(data, config, folds=5)
    pair = whole.split.subset(np.flatnonzero(whole.fold < 2))
    protocol = whole._replace(split=pair, fold=whole.fold[whole.fold < 2])
    assert len(set(pair.subjects)) == 2
    found = gather(list(predict_folds(pair.columns["openface"], protocol)), len(pair), 8)
    assert (found.argmax(1) == pair.labels).mean() > 0.4  # chance is an eighth


def test_people_who_show_one_class_alone_can_be_trained_on_but_not_one_class(data, config):
    pytest.importorskip("sklearn")
    whole = make_protocol(data, config, one_subject=True)
    labels, subjects = whole.split.labels, whole.split.subjects
    first, second, third = np.unique(subjects)[:3]
    chosen = (subjects == first) & (labels == 0) | (subjects == second) & (labels == 1) | (subjects == third)
    few = whole._replace(split=whole.split.subset(np.flatnonzero(chosen)), fold=whole.fold[chosen])
    parts = list(predict_folds(few.split.columns["openface"], few))
    assert np.isfinite(gather(parts, len(few.split), 8)).all()
    check_classes(few)
    alone = few.split.subset(np.flatnonzero(few.split.subjects != third))
    pair = few._replace(split=alone, fold=few.fold[few.split.subjects != third])
    with pytest.raises(UserError, match=r"^fold \d+: every example that it trains on is '\w+', and a classifier needs"):
        check_classes(pair)


def test_people_who_are_unknown_cannot_be_left_out_one_by_one(config):
    split = SimpleNamespace(subjects=np.array(["a", "", "b", "", ""]))
    prepared = SimpleNamespace(name="faces", splits=("all",), split=lambda name: split)
    with pytest.raises(UserError, match=r"faces: doesn't say who is in 3 examples; give --folds instead"):
        make_protocol(prepared, config, one_subject=True)


def test_sound_is_described_by_its_voiced_frames_alone():
    short, long = (fit_length(np.round(32768 * tone(500)).astype(np.int16), n) for n in (12_000, 24_000))
    found = [log_mel_statistics(sound[None])[0] for sound in (short, long)]
    assert found[0].shape == (6 * 64,)
    mean = found[0][:64]
    np.testing.assert_allclose(mean, found[1][:64], atol=1)  # frames begin elsewhere; padding would move it by decibels
    assert mean.argmax() == 10  # 500 Hz are 7.5 mel, and bands are 0.7 mel apart


def test_what_is_tested_twice_or_never_is_refused():
    part = FoldPredictions(np.array([0, 1]), np.ones((2, 2), np.float32))
    with pytest.raises(UserError, match="the folds test 4 examples of 3"):
        gather([part, part], 3, 2)


def test_a_killed_protocol_goes_on_behind_its_last_fold(data, config, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    protocol, trained = make_protocol(data, config, folds=2), []

    def stopping(own, folder, build):
        if trained:
            raise Interrupted(15, 3)
        trained.append(own.data.fold)
        return train(own, folder, build)

    train = runs.train
    monkeypatch.setattr(runs, "train", stopping)
    said = []
    with pytest.raises(Interrupted):
        run_protocol(config, data, protocol, tmp_path, say=said.append)
    assert trained == [0] and not (tmp_path / "results.json").exists()

    monkeypatch.setattr(runs, "train", lambda *given: trained.append(given[0].data.fold) or train(*given))
    results = run_protocol(config, data, protocol, tmp_path, say=said.append)
    assert trained == [0, 1]
    assert set(results["rows"]) == {"logistic regression on openface", "vector_mlp"}
    network = results["rows"]["vector_mlp"]["seeds"]["0"]
    assert network["pooled"]["WAR"]["value"] > 0.8 and len(network["folds"]) == 2
    assert json.loads((tmp_path / "results.json").read_text())["rows"].keys() == results["rows"].keys()
    assert "| vector_mlp, seed 0 |" in (tmp_path / "table.md").read_text()
    stored = np.load(tmp_path / "seed0" / "fold01" / "predictions.npz")
    np.testing.assert_array_equal(stored["examples"], protocol.tested(1))

    monkeypatch.setattr(runs, "train", None)  # nothing is left to train
    assert run_protocol(config, data, protocol, tmp_path, linear=False)["rows"]["vector_mlp"]["seeds"]["0"] == network
    config = config.copy_and_resolve_references()
    config.optimizer.learning_rate = 0.03
    with pytest.raises(UserError, match=r"holds another run \(optimizer\.learning_rate was 0.02, now 0.03"):
        run_protocol(config, data, protocol, tmp_path, linear=False)


def test_the_last_weights_are_taken_though_earlier_ones_were_better(data, config, tmp_path):
    config = config.copy_and_resolve_references()
    protocol = make_protocol(data, config, folds=2)
    config.train.epochs = 1.0
    config.optimizer.learning_rate = 0.0
    found = runs.run_fold(config, protocol, data, 0, 0, tmp_path)
    steps = [path.name for path in (tmp_path / "seed0" / "fold00" / "checkpoints").iterdir() if path.name.isdigit()]
    assert max(map(int, steps)) == round(np.sum(protocol.fold != 0) / 16)
    assert found.probabilities.shape == (len(protocol.tested(0)), 8)


def test_the_command_names_what_is_wrong(data, tmp_path, capsys):
    given = ["folds", data.label, "--output", str(tmp_path / "out"), "--data_dir", str(data.directory.parents[2])]
    assert main([*given, "--config", str(tmp_path / "none.py")]) == 2
    assert "no such file; there are " in capsys.readouterr().err
    (tmp_path / "empty.py").write_text("x = 1\n")
    assert main([*given, "--config", str(tmp_path / "empty.py")]) == 2
    assert "it has no function get_config()" in capsys.readouterr().err
    (tmp_path / "face.py").write_text("from expressnet_jax.config import default as get_config\n")
    assert main([*given, "--config", f"{tmp_path / 'face.py'}", "--no-linear"]) == 2
    assert "expressnet_small takes images, but ravdess holds sound" in capsys.readouterr().err
