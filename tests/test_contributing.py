"""The examples of README.md and CONTRIBUTING.md do what they say, with no other line than those that they show."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from expressnet_jax.cli import main

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
LINE = re.compile(r'# in (expressnet_jax/\S+)\.py, (\w+): "(\w+)": (.+),')
PAGES = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")]
EXAMPLES = [text for page in PAGES for text in BLOCK.findall(page) if text.startswith("# expressnet_jax/")]


def module_name(path):
    return path.removesuffix("/__init__").replace("/", ".")


@pytest.fixture
def add(monkeypatch):
    """Put an example where its first line says, and its last lines where they say; return its module."""

    def add_example(file):
        (text,) = (text for text in EXAMPLES if text.startswith(f"# {file}\n"))
        name = module_name(file.removesuffix(".py"))
        module = ModuleType(name)
        exec(compile(text, file, "exec"), vars(module))
        for path, registry, key, value in LINE.findall(text):
            place = importlib.import_module(module_name(path))
            entry = eval(value, vars(place) | vars(module) | {name.rpartition(".")[2]: module})
            monkeypatch.setitem(getattr(place, registry), key, entry)
        if name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, module)
        return module

    return add_example


def test_every_example_is_short_and_names_its_line():
    assert len(EXAMPLES) == 5
    for text in EXAMPLES:
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) - len(LINE.findall(text)) <= 15 and LINE.search(text)


def test_the_model_is_listed_layer_by_layer(add, capsys):
    add("expressnet_jax/models/two_conv.py")
    assert main(["models", "two_conv"]) in (0, None)
    shown = capsys.readouterr().out
    # Two 3x3 convolutions, two scales and biases each, a head of seven classes.
    assert "conv_2" in shown and f"{9 * 32 + 9 * 32 * 64 + 2 * (32 + 64) + 65 * 7:,}" in shown


def test_the_data_set_is_prepared_with_its_labels_and_people(add, tmp_path):
    from expressnet_jax.data.prepare import prepare

    add("expressnet_jax/data/datasets/tagged.py")
    (tmp_path / "source").mkdir()
    for i, name in enumerate(("ann_fear_1", "ann_neutral_2", "bob_anger_1")):
        assert cv2.imwrite(str(tmp_path / "source" / f"{name}.png"), np.full((48, 48), 40 * i, np.uint8))
    split = prepare("tagged", tmp_path / "source", tmp_path / "data").split("all")
    assert [split.classes[label] for label in split.labels] == ["fear", "neutral", "anger"]
    assert list(split.columns["subject"]) == ["ann", "ann", "bob"]


def test_the_loss_is_cross_entropy_and_the_missing_probability(add):
    from expressnet_jax.data.fields import Field
    from expressnet_jax.models.network import Outputs
    from expressnet_jax.training.losses import make_loss
    from expressnet_jax.training.losses.base import LossContext

    add("expressnet_jax/training/losses/poly.py")
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(5, 7)).astype(np.float32), random.integers(7, size=5)
    context = LossContext("expression", "expression", Field("class", (7,)), np.ones(7, int), 16)
    loss = make_loss("poly", {"loss": "poly", "epsilon": 2.0, "weight": 0.5}, context, "losses.expression")
    outputs = Outputs(jnp.zeros((5, 16)), {"expression": jnp.asarray(logits)})
    found = loss.apply(outputs, {"expression": jnp.eye(7)[labels]}, {}, {})
    log_p = log_softmax(logits, axis=1)[range(5), labels]
    assert loss.weight == 0.5
    np.testing.assert_allclose(found.value, np.mean(-log_p + 2 * (1 - np.exp(log_p))), rtol=1e-5)


def test_the_metric_is_reported_and_leaves_out_what_is_missing(add):
    from expressnet_jax.data.fields import Field
    from expressnet_jax.evaluation.evaluators import evaluate_output

    add("expressnet_jax/evaluation/evaluators/regression.py")
    output, target = np.array([[0.5, 0.0], [0.25, 1.0]]), np.array([[0.0, 0.0], [0.5, np.nan]])
    metrics = evaluate_output(output, target, Field("vector", (2,), ("valence", "arousal")))
    assert metrics["mae"] == pytest.approx((0.5 + 0.0 + 0.25) / 3)


def test_the_method_is_the_sum_of_singular_values(add):
    from expressnet_jax.adaptation.method import MethodInputs, ModelOutputs
    from expressnet_jax.adaptation.registry import make_method

    add("expressnet_jax/adaptation/bnm.py")
    logits = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    method = make_method("bnm")
    blank = MethodInputs(*[None] * len(MethodInputs._fields))
    inputs = blank._replace(target=ModelOutputs(jnp.zeros((6, 4)), jnp.asarray(logits)))
    p = softmax(logits, axis=1)
    expected = -np.sqrt(np.maximum(np.linalg.eigvalsh(p.T @ p), 0)).sum() / 6
    np.testing.assert_allclose(method.transfer(inputs).loss, expected, rtol=1e-5)
