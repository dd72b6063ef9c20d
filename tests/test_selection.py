"""Who trains and who selects."""

import dataclasses
import re
from dataclasses import dataclass, field

import numpy as np
import pytest

from expressnet_jax.config import default
from expressnet_jax.data import selection
from expressnet_jax.data.selection import Splits, select_splits
from expressnet_jax.errors import UserError
from expressnet_jax.training import classification
from expressnet_jax.training.train_data import TrainData


@dataclass
class Shelf:
    """What `choose` asks of a prepared data set."""

    parts: dict
    name: str = "faces"
    splits: dict = field(init=False)

    def __post_init__(self):
        self.splits = {name: len(part) for name, part in self.parts.items()}

    def split(self, name):
        if name not in self.parts:
            raise UserError(f"{self.name} has no split {name!r}; its splits are: {', '.join(self.parts)}")
        return self.parts[name]


@pytest.fixture
def official(array_split):
    return Shelf({"train": array_split(40), "validation": array_split(10, seed=1), "test": array_split(12, seed=2)})


@pytest.fixture
def whole(array_split):
    return Shelf({"all": array_split(60)})


def without_subjects(shelf):
    part = shelf.parts["all"]
    shelf.parts["all"] = type(part)(part.images, part.labels, part.indices, None, None, part.classes)
    return shelf


def test_the_official_validation_split_selects(official):
    chosen = select_splits(official)
    assert chosen.train is official.parts["train"] and chosen.select is official.parts["validation"]
    assert (chosen.train_name, chosen.select_name, chosen.dropped) == ("train", "validation", 0)


def test_without_one_a_tenth_of_the_subjects_selects(whole):
    chosen = select_splits(whole)
    train, select = chosen.train, chosen.select
    assert not set(train.subjects) & set(select.subjects)
    np.testing.assert_array_equal(np.sort(np.r_[train.indices, select.indices]), np.arange(60))
    assert 4 <= len(select) <= 9
    assert (chosen.train_name, chosen.select_name) == ("all", "holdout of all")


@pytest.mark.parametrize(("holdout", "share"), [(0.1, 6), (0.2, 12), (0.25, 15), (0.5, 30)])
def test_a_share_is_held_out_where_subjects_are_unknown(whole, holdout, share):
    chosen = select_splits(without_subjects(whole), holdout=holdout)
    assert len(chosen.select) == share and len(chosen.train) == 60 - share


def test_the_folds_together_select_every_example_once(whole):
    selected = [select_splits(whole, folds=5, fold=fold).select.indices for fold in range(5)]
    np.testing.assert_array_equal(np.sort(np.concatenate(selected)), np.arange(60))


def test_folds_go_before_an_official_validation_split(official):
    chosen = select_splits(official, folds=4, fold=1)
    assert chosen.select_name == "holdout of train" and len(chosen.train) + len(chosen.select) == 40


def test_held_out_images_keep_their_labels_and_keys(whole):
    select = select_splits(whole, folds=3).select
    np.testing.assert_array_equal(select.labels, whole.parts["all"].labels[select.indices])
    assert select.keys[0] == f"row {select.indices[0]}"


def test_leaks_are_left_out_by_their_place_in_the_official_split(official, monkeypatch):
    report = {"leaks": {"train": [0, 3, 39], "test": [1]}, "leaked": {}}
    monkeypatch.setattr(selection, "load_audit", lambda prepared: report)
    chosen = select_splits(official, drop_leaks=True)
    assert chosen.dropped == 3 and not {0, 3, 39} & set(chosen.train.indices)
    held = select_splits(official, drop_leaks=True, folds=4)
    assert not {0, 3, 39} & set(held.train.indices)
    assert held.dropped == 3 - len({0, 3, 39} & set(held.select.indices))


def test_leaks_can_only_be_dropped_after_an_audit(official, monkeypatch):
    monkeypatch.setattr(selection, "load_audit", lambda prepared: None)
    with pytest.raises(UserError, match="run `expressnet audit faces` first"):
        select_splits(official, drop_leaks=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_split": "test"}, "data.validation_split: the test split never selects"),
        ({"train_split": "test"}, "data.train_split: the test split never trains"),
        ({"train_split": "train", "validation_split": "train"}, "data.validation_split: .*train.* is what trains"),
        ({"train_split": "training"}, "no split 'training'; its splits are: train, validation, test"),
        ({"validation_split": "valid"}, "no split 'valid'"),
        ({"validation_split": "holdout", "holdout": 0.0}, "data.holdout: 0.0 is not a share"),
        ({"validation_split": "holdout", "holdout": 1.0}, "data.holdout: 1.0 is not a share"),
        ({"folds": 3, "fold": 3}, "data.fold: 3 is not one of the folds 0 to 2"),
        ({"folds": 3, "fold": -1}, "data.fold: -1 is not one of the folds 0 to 2"),
        ({"folds": 1}, "data.folds: 1; "),
        ({"folds": -2}, "data.folds: -2; "),
        ({"folds": 100}, "data.folds: 100 folds need as many subjects"),
        ({"fold": 1}, "data.fold: validation selects, so that there are no folds"),
        ({"folds": 5, "validation_split": "validation"}, "data.folds: validation selects"),
    ],
)
def test_a_wrong_choice_is_refused(official, options, message):
    with pytest.raises(UserError, match=message):
        select_splits(official, **options)


@pytest.mark.parametrize(
    ("people", "holdout", "message"),
    [
        (5, 0.1, r"data\.holdout: 0\.1 of 5 subjects is less than one; use 0\.2 or more"),
        (70, 0.01, r"data\.holdout: 0\.01 of 70 subjects is less than one; use 0\.02 or more"),
        (1, 0.1, r"data\.holdout: 0\.1 of 1 subject is less than one; prepare it with a validation split"),
        (None, 0.005, r"data\.holdout: 0\.005 of 140 examples is less than one; use 0\.01 or more"),
    ],
)
def test_a_share_of_too_few_people_is_refused_by_its_own_key(array_split, people, holdout, message):
    subjects = None if people is None else np.array([f"person {i % people}" for i in range(140)])
    few = Shelf({"train": dataclasses.replace(array_split(140), subjects=subjects)})
    with pytest.raises(UserError, match=message):
        select_splits(few, holdout=holdout)
    if people != 1:
        chosen = select_splits(few, holdout=float(re.search("use ([0-9.]+)", message.replace("\\", ""))[1]))
        assert len(chosen.train) and len(chosen.select)


def test_examples_of_unknown_people_are_not_held_out_together(array_split):
    subjects = np.array([""] * 80 + [f"person {i % 10}" for i in range(20)])
    known = Shelf({"train": dataclasses.replace(array_split(100), subjects=subjects)})
    chosen = select_splits(known, holdout=0.1)
    assert 8 <= len(chosen.select) <= 12
    assert set(chosen.train.subjects) & set(chosen.select.subjects) <= {""}


def test_empty_and_one_sided_splits_are_refused(official, array_split):
    train, validation = official.parts["train"], official.parts["validation"]
    with pytest.raises(UserError, match="faces: the training split is empty"):
        select_splits(Shelf({"train": train.subset([]), "validation": validation}))
    with pytest.raises(UserError, match="faces: the selection split is empty"):
        select_splits(Shelf({"train": train, "validation": validation.subset([])}))
    with pytest.raises(UserError, match="faces: every training example is 'anger'"):
        select_splits(Shelf({"train": train.subset(np.flatnonzero(train.labels == 0)), "validation": validation}))


def test_a_class_that_only_selects_is_known(array_split):
    train, select = array_split(30), array_split(20, seed=1)
    assert selection.unlearned(Splits(train, select, "train", "validation", 0)) == {}
    fear = 2
    train = train.subset(np.flatnonzero(train.labels != fear))
    chosen = Splits(train, select, "train", "validation", 0)
    assert selection.unlearned(chosen) == {"fear": int((select.labels == fear).sum())}
    select = select.subset(np.flatnonzero(select.labels != fear))
    assert selection.unlearned(chosen._replace(select=select)) == {}  # nobody shows it


def test_a_run_warns_of_a_class_that_it_can_not_learn(array_split):
    train, select = array_split(30), array_split(20, seed=1)
    lines = lambda train: classification.run_summary(
        default(), TrainData(None, Splits(train, select, "train", "validation", 0), None), {}
    )
    assert not any("warning" in line for line in lines(train))
    [line] = [line for line in lines(train.subset(np.flatnonzero(train.labels != 2))) if "warning" in line]
    assert f"fear ({(select.labels == 2).sum()}): shown by images of validation and by no training example" in line


def test_a_run_warns_of_training_on_much_smaller_images_than_it_is_judged_on(array_split):
    config, split = default(), array_split(20)
    data = TrainData(None, Splits(split, split, "train", "validation", 0), None)
    for resize, warned in ((0, False), (40, False), (32, True)):
        config.augment.resize = resize
        lines = classification.run_summary(config, data, {})
        assert any("train on 32 pixels a side and evaluation is at 48" in line for line in lines) == warned
