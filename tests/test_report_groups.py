"""Groups of people and the data's own faults, against fairlearn's definitions, scikit-learn and planted errors."""

import numpy as np
import pytest

from expressnet_jax.errors import UserError
from expressnet_jax.report.context import QUICK, Context
from expressnet_jax.report.examples import Examples
from expressnet_jax.report.subject import Subject

pytest.importorskip("fairlearn", reason="fairlearn is not installed")
pytest.importorskip("cleanlab", reason="cleanlab is not installed")
from expressnet_jax.report.data_quality import audit_summary, label_errors
from expressnet_jax.report.fairness import (
    attribute_columns,
    check_attributes,
    group_metrics,
    large_groups,
    sweep_figures,
)
from expressnet_jax.report.run import identity

CLASSES = ("anger", "fear", "happiness")


def examples(count=300, **columns):
    rng = np.random.default_rng(0)
    return Examples(
        name="made",
        split="all",
        identity="made@0/all",
        images=np.zeros((count, 2, 2, 1), np.uint8),
        labels=rng.integers(0, 3, count),
        classes=CLASSES,
        index=np.arange(count),
        keys=np.array([f"image{i}" for i in range(count)]),
        columns=columns,
    )


def test_groups_are_measured_as_scikit_learn_does_in_each():
    from sklearn.metrics import accuracy_score, recall_score

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 400)
    values = np.array(["old"] * 150 + ["young"] * 240 + ["few"] * 10)
    predicted = np.where(rng.random(400) < np.where(values == "old", 0.5, 0.9), labels, rng.integers(0, 3, 400))
    found = group_metrics(labels, predicted, values, CLASSES)
    assert set(found["groups"]) == {"old", "young"} and found["left_out"] == 10
    share = {}
    for name, group in found["groups"].items():
        own = values == name
        share[name] = accuracy_score(labels[own], predicted[own])
        assert group["accuracy"] == pytest.approx(share[name]) and group["count"] == own.sum()
        recalls = recall_score(labels[own], predicted[own], average=None, labels=[0, 1, 2])
        assert list(group["recall"].values()) == pytest.approx(list(recalls))
        assert group["balanced_accuracy"] == pytest.approx(recalls.mean())
        assert group["positive_rate"]["fear"] == pytest.approx((predicted[own] == 1).mean())
        assert group["interval"][0] < share[name] < group["interval"][1]
    assert found["accuracy_gap"] == pytest.approx(share["young"] - share["old"])


def test_the_equalised_odds_gap_is_the_larger_difference_of_rates():
    labels = np.tile([0, 0, 1, 1], 40)
    values = np.repeat(["a", "b"], 80)
    predicted = labels.copy()
    predicted[80:][labels[80:] == 0] = np.tile([0, 1], 20)  # group b: half of class 0 is called 1
    found = group_metrics(labels, predicted, values, CLASSES[:2])
    assert found["equalized_odds"] == pytest.approx({"anger": 0.5, "fear": 0.5}) and found["equalized_odds_gap"] == 0.5
    same = group_metrics(labels, labels, values, CLASSES[:2])
    assert same["accuracy_gap"] == same["equalized_odds_gap"] == 0


def test_a_sweep_counts_who_changes_their_answer():
    answers = np.array([[0, 1, 0, 1], [0, 0, 0, 1]])  # two people with two expressions, at two values
    found = sweep_figures(answers, ["anger", "fear"], 2, (0.0, 1.0))
    assert [row["accuracy"] for row in found["rows"]] == [1.0, 0.75]
    assert (found["gap"], found["changed"], found["lowest"]) == (0.25, 0.25, 0.75)


def test_attributes_come_from_columns_and_csv_files(tmp_path):
    made = examples(group=np.array(["x", "y"] * 150), points=np.zeros((300, 5, 2)))
    path = tmp_path / "people.csv"
    table = "key,age\n" + "\n".join(f"image{i},{'old' if i < 100 else 'young'}" for i in range(250))
    path.write_text(table, encoding="utf-8-sig")  # as spreadsheets save it
    found = attribute_columns(["group", str(path)], made)
    assert set(found) == {"group", "age"} and large_groups(found["age"]) == ["old", "young"]
    assert (found["age"][250:] == "").all()
    check_attributes(["group", str(path)], [made])


def test_a_changed_table_of_people_is_read_again(tmp_path):
    """The cache knew the table by its name, and gave the groups of the one that was there before."""
    path, subject = tmp_path / "people.csv", Subject("m", lambda images: images, CLASSES, (2, 2, 1), "0")
    context = Context(subject, None, [examples()], QUICK, tmp_path, [str(path)], audits=[None])
    found = []
    for half in ("old", "young"):
        path.write_text("key,age\n" + "\n".join(f"image{i},{half if i < 150 else 'child'}" for i in range(300)))
        found.append([identity(context, name) for name in ("fairness", "figures")])
    assert found[0][0] != found[1][0] and found[0][1] == found[1][1]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["sex"], "no column 'sex'; there are alone, group"),
        (["points"], "no column 'points'"),
        (["alone"], "alone of made has fewer than two groups"),
        (["nowhere.csv"], "nowhere.csv: can't be read"),
        (["keyless.csv"], "has no column 'key'"),
        (["others.csv"], "others.csv: no key in it is one of made, whose keys are like image0"),
    ],
)
def test_a_wrong_attribute_is_refused_in_one_line(names, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keyless.csv").write_text("name,age\na,1\n")
    (tmp_path / "others.csv").write_text("key,age\nportrait0,1\n")
    made = examples(group=np.array(["x", "y"] * 150), alone=np.full(300, "x"), points=np.zeros((300, 5, 2)))
    with pytest.raises(UserError, match=words) as error:
        check_attributes(names, [made])
    assert "\n" not in str(error.value)


def test_planted_label_errors_are_found():
    made = examples(600)
    truth = made.labels.copy()
    wrong = np.arange(0, 600, 30)
    made.labels[wrong] = (truth[wrong] + 1) % 3
    rows = np.full((600, 3), 0.05)
    rows[np.arange(600), truth] = 0.9
    found = label_errors(rows, made)
    assert found["count"] == len(wrong) == sum(found["by_class"].values())
    assert {row["key"] for row in found["worst"]} == {f"image{i}" for i in wrong}
    assert found["worst"][0]["probability_of_label"] == pytest.approx(0.05)


def test_the_audit_is_summed_up_for_one_split():
    report = {"exact": {"within": {"test": 3}}, "near": {"within": {"test": 8}}, "blank": {"test": [1, 2]}}
    report |= {"leaked": {"test": [4, 5, 6]}, "leaked_exact": {"test": [4]}, "conflicts": {"exact": 7}}
    assert list(audit_summary(report, "test").values()) == [3, 8, 3, 1, 7, 2]
