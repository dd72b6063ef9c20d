"""One run on one, two and four processes and on one, four and eight devices, at one global batch: how far apart the
first step and the fiftieth are.

    python tests/layouts.py --json configs/results/layouts.json

`test_cluster.py` does the same with two. The first step may differ by rounding alone; from there training itself makes
differences larger. Smoothed labels keep the loss away from zero, where a relative difference says nothing.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # as a program, not as a plugin of pytest

from expressnet_jax.data.prepare import prepare
from expressnet_jax.environment import machine
from runs import CONFIG, SETTINGS, Run, arrays, as_one_run, history, one_device, write_images

LAYOUTS = ((1, 1), (1, 4), (1, 8), (2, 1), (4, 1), (2, 4))  # processes, and devices of each
FIRST, LATER = 1e-6, 1e-3  # relative differences that are allowed: of the first step's loss, and after fifty steps
STEPS = 50
MORE = {
    "model.name": "expressnet_tiny",
    "train.batch_size": 64,
    "train.epochs": 7.15,
    "log.every_steps": 1,
    "losses.expression.label_smoothing": 0.1,
    "optimizer.learning_rate": 0.02,
}


def run(config: Path, workdir: Path, compiled: Path, processes: int, devices: int) -> Path:
    """Trains and waits for all processes; the folder they wrote."""
    environment = one_device(compiled)
    environment["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={devices}"
    alone = [{}]
    told = as_one_run(processes) if processes > 1 else alone
    for started in [Run(config, workdir, environment | own) for own in told]:
        started.finish()
    return workdir


def distance(workdir: Path, reference: Path) -> dict[str, float]:
    """Relative differences: of the loss of the first step and of the last, and of all weights together."""
    losses = [[line["loss"] for line in history(each) if line["split"] == "train"] for each in (workdir, reference)]
    assert len(losses[0]) == len(losses[1]) >= STEPS
    loss = np.abs(np.subtract(*losses)) / losses[1]
    ours, theirs = ({k: v for k, v in arrays(each).items() if "/model[" in k} for each in (workdir, reference))
    assert ours.keys() == theirs.keys()
    vector = lambda tree: np.concatenate([tree[name].astype(np.float64).ravel() for name in sorted(tree)])
    weights = np.linalg.norm(vector(ours) - vector(theirs)) / np.linalg.norm(vector(theirs))
    return {"first_loss": float(loss[0]), "last_loss": float(loss[STEPS - 1]), "weights": float(weights)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        images = write_images(root / "images", {"train": 150, "validation": 21})
        prepare("folder", images, root / "data", name="tiny")
        config = root / "tiny.py"
        config.write_text(CONFIG.format(settings=SETTINGS | MORE | {"data.dir": str(root / "data")}))
        for processes, devices in LAYOUTS:
            workdir = run(config, root / f"{processes}x{devices}", root / "compiled", processes, devices)
            figures = distance(workdir, root / "1x1")
            found.append({"processes": processes, "devices_each": devices} | figures)
            print(
                f"{processes} x {devices}: first loss {figures['first_loss']:.1e}, loss after {STEPS} steps"
                f" {figures['last_loss']:.1e}, weights {figures['weights']:.1e}",
                flush=True,
            )
    if arguments.json:
        figures = {"network": MORE["model.name"], "batch_size": MORE["train.batch_size"], "layouts": found}
        arguments.json.write_text(json.dumps(figures | {"machine": machine()}, indent=2) + "\n")
    far = [each for each in found if each["first_loss"] > FIRST or max(each["last_loss"], each["weights"]) > LATER]
    sys.exit(f"these differ by more than {FIRST} at the first step or {LATER} later: {far}" if far else 0)


if __name__ == "__main__":
    main()
