"""The first 60 steps of four recipes, against the losses that were recorded before the network had several heads.

`python -c "import conftest, test_golden; test_golden.record()"` in this folder records them again: only where another
order of random draws is worth it, and the commit says so. The last digits depend on the processor and on jaxlib, and a
run makes such a difference large within a few steps, so on another machine nothing is compared.
"""

import importlib.util
import io
import json
import os
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from expressnet_jax.data.prepare import prepare
from expressnet_jax.environment import host
from expressnet_jax.metric_writers import read_history
from expressnet_jax.tasks import experiment_builder
from expressnet_jax.training.loop import train

RECORDED = Path(__file__).with_name("golden.json")
CONFIGS = Path(__file__).parents[1] / "configs"
FER2013 = Path(__file__).parents[2] / "shared/data/fer2013_training_publictest.zip"
STEPS, BATCH, EXAMPLES, PEOPLE = 60, 8, 240, 40
NAMES = ("quickstart", "fer2013", "adapt", "pretrain_identity")


def recipe(name: str, argument: str = ""):
    """The config of configs/NAME.py, shortened to STEPS steps of BATCH images with a log line each."""
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(argument) if argument else module.get_config()
    config.model.name = "expressnet_tiny"
    config.train.batch_size = BATCH
    config.log.every_steps = 1
    config.eval.error_gallery = False
    config.export = ""
    return config


def generated(data: Path, style: str = "a", name: str = "synthetic") -> None:
    options = {"num_train": EXAMPLES, "num_validation": 64, "num_test": 0, "style": style, "name": name}
    prepare("synthetic", None, data, **options)


def quickstart(folder: Path):
    generated(folder / "data")
    config = recipe("quickstart")
    config.data.options.update(num_train=EXAMPLES, num_validation=64, num_test=0)
    return config, EXAMPLES


def fer2013(folder: Path):
    """A tenth of FER2013's Training rows, as class folders."""
    with zipfile.ZipFile(FER2013) as archive:
        labels = np.load(io.BytesIO(archive.read("labels.npz")))["labels"]
        sheets = sorted(name for name in archive.namelist() if name.endswith(".png"))
        for number, sheet in enumerate(sheets[:2]):  # 40 x 50 images of 48 pixels each
            pixels = cv2.imdecode(np.frombuffer(archive.read(sheet), np.uint8), cv2.IMREAD_GRAYSCALE)
            images = pixels.reshape(40, 48, 50, 48).swapaxes(1, 2).reshape(-1, 48, 48)
            for i, image in enumerate(images[: 2000 if number == 0 else 871]):
                place = folder / "images" / f"class{labels[2000 * number + i]}"
                place.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(place / f"{2000 * number + i:05d}.png"), image)
    prepare("folder", folder / "images", folder / "data", name="tenth")
    config = recipe("fer2013")
    config.data.name = "tenth"
    return config, 2584  # a tenth of the tenth selects


def adapt(folder: Path):
    """CDAN between two drawing styles, from a network that has learned nothing yet but for one epoch."""
    generated(folder / "data")
    generated(folder / "data", "b", "drawn")
    source, _ = quickstart(folder / "source")
    source.data.dir = str(folder / "data")
    source.train.epochs = 1.0
    train(source, folder / "start", experiment_builder(source))
    config = recipe("adapt", "synthetic,drawn,cdan")
    config.data.options.update(num_train=EXAMPLES, num_validation=64, num_test=0)
    config.init_from = str(folder / "start")
    config.adapt.bn_recalibration_images = 0
    return config, EXAMPLES


def pretrain_identity(folder: Path):
    """ArcFace on PEOPLE people, each a pattern of its own under noise."""
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        place = folder / "people" / f"person{person:02d}"
        place.mkdir(parents=True)
        pattern = cv2.resize(rng.uniform(0, 255, (6, 6)), (48, 48))
        for i in range(10):
            image = (pattern + rng.normal(0, 40, (48, 48))).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(place / f"{i}.png"), image)
    prepare("identity", folder / "people", folder / "data", name="people")
    config = recipe("pretrain_identity")
    return config, 360


def losses(name: str, folder: Path) -> list[float]:
    """The loss of each of the first STEPS steps of a recipe."""
    config, examples = globals()[name](folder)
    config.data.dir = str(folder / "data")
    epochs = STEPS * BATCH / examples
    config.train.epochs = config.eval.every_epochs = config.checkpoint.every_epochs = epochs
    train(config, folder / "run", experiment_builder(config))
    lines = read_history(folder / "run" / "metrics.jsonl")
    return [line["loss"] for line in lines if line["split"] == "train"]


def machine() -> dict:
    facts = host(("jaxlib", "numpy"))
    return {"processor": facts["processor"], "packages": facts["packages"]}


@pytest.mark.parametrize("name", NAMES)
def test_the_first_steps_are_those_recorded(name, tmp_path, monkeypatch):
    monkeypatch.delenv("EXPRESSNET_TUNE")
    if name == "fer2013" and not FER2013.is_file():
        pytest.skip("needs FER2013 in ../shared/data, which is not part of the repository")
    recorded = json.loads(RECORDED.read_text())
    if recorded["machine"] != machine():
        pytest.skip(f"recorded on {recorded['machine']['processor']}; this is {machine()['processor']}")
    found = losses(name, tmp_path)
    assert len(found) == STEPS
    np.testing.assert_allclose(found, recorded[name], rtol=1e-6)


def record() -> None:
    """Write what the first steps are now."""
    del os.environ["EXPRESSNET_TUNE"]
    result = {"machine": machine()}
    for each in NAMES:
        with tempfile.TemporaryDirectory() as place:
            result[each] = losses(each, Path(place))
    RECORDED.write_text(json.dumps(result, indent=1))
