"""The model card says what `expressnet bench predict` measured, about the files that are there."""

import json
from pathlib import Path

from expressnet_jax.config import flatten
from expressnet_jax.inference.predictor import SHIPPED, WEIGHTS, load_model

CARD = (WEIGHTS / "MODEL_CARD.md").read_text(encoding="utf-8")
MEASURED = json.loads((Path(__file__).parents[1] / "configs" / "results" / "predict_shipped.json").read_text())


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def share(on: dict, label: str, key: str) -> str:
    return f"{100 * on['per_class'][label][key]:.0f} %" if label in on["per_class"] else ""


def test_every_shipped_model_has_its_cost():
    assert set(MEASURED["models"]) == set(SHIPPED)
    for name, found in MEASURED["models"].items():
        cost = f"{found['milliseconds']:.2f} ms, {found['to_reference']:.2f}"
        assert f"| `{name}` | {found['onnx_bytes'] / 1e6:.1f} MB | {cost} |" in CARD
        assert (WEIGHTS / SHIPPED[name]).stat().st_size == found["onnx_bytes"]


def test_every_shipped_model_has_its_row_for_each_data_set():
    for name, found in MEASURED["models"].items():
        for data, on in found["on"].items():
            low, high = on["accuracy_interval"]
            accuracy = f"{percent(on['accuracy'])} ({100 * low:.1f} to {100 * high:.1f})"
            figures = " | ".join(percent(on[key]) for key in ("balanced_accuracy", "macro_f1", "ece"))
            assert f"| `{name}` | {data} | {on['count']:,} | {accuracy} | {figures} |" in CARD


def test_every_class_and_every_detector_has_its_row():
    ferplus, *elsewhere = MEASURED["models"]["small"]["on"].values()
    assert list(ferplus["per_class"]) == list(load_model("small").classes)
    for label, found in ferplus["per_class"].items():
        of_models = [each["on"]["ferplus"] for each in MEASURED["models"].values()]
        recalls, others = ([share(on, label, "recall") for on in each] for each in (of_models, elsewhere))
        row = [label, f"{found['support']:,}", *recalls, share(ferplus, label, "precision"), *others]
        assert f"| {' | '.join(row)} |" in CARD
    for name, found in MEASURED["detectors"].items():
        assert f"| `{name}` | {percent(found['found'])} | {percent(found['accuracy'])} |" in CARD


def test_what_ships_names_its_terms_and_no_machine():
    for name in SHIPPED:
        metadata = load_model(name).metadata
        assert "research use" in metadata["license"] and float(metadata["temperature"]) > 0
    (described,) = (WEIGHTS / "checkpoint").glob("*/metadata/metadata")
    config = flatten(json.loads(described.read_text())["config"])
    assert config["data.name"] == "ferplus"
    assert not [key for key, value in config.items() if isinstance(value, str) and Path(value).is_absolute()]
