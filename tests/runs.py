"""A tiny data set, runs of the real training command on it, and what is left of them."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import jax
import numpy as np
import orbax.checkpoint as ocp

from expressnet_jax import cluster
from expressnet_jax.metric_writers import read_history
from expressnet_jax.training import classification, loop
from expressnet_jax.training.checkpoints.manager import saved_steps

CLASSES = ("anger", "happiness", "neutral")
CONFIG = """
from expressnet_jax.config import default


def get_config():
    config = default()
    config.update_from_flattened_dict({settings!r})
    return config
"""
# 30 steps, a checkpoint and an evaluation every four; all checkpoints are kept, to begin again from any of them.
SETTINGS = {
    "model.name": "plain_cnn",
    "model.dropout": 0.1,
    "data.name": "tiny",
    "data.size": 32,
    "augment.flip": 0.5,
    "train.batch_size": 16,
    "train.epochs": 8.0,
    "optimizer.learning_rate": 0.05,
    "optimizer.ema": 0.9,
    "eval.batch_size": 16,
    "checkpoint.keep": 99,
    "log.every_steps": 3,
}


def write_images(folder: Path, per_class: dict[str, int], classes=CLASSES, size: int = 32) -> Path:
    """Gray noise, brighter from class to class: FOLDER/SPLIT/CLASS/*.png."""
    rng = np.random.default_rng(0)
    for split, count in per_class.items():
        for k, name in enumerate(classes):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                image = rng.normal(60 + 60 * k, 40, (size, size)).clip(0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / split / name / f"{i}.png"), image)
    return folder


def one_device(compiled: Path) -> dict[str, str]:
    """The environment of a run: a CPU, nothing to start twice for, and one folder of compiled programs for all runs."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(compiled), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    flags = {"XLA_FLAGS": os.environ.get("QUICK_XLA_FLAGS", "")}
    return os.environ | cache | flags | {"JAX_PLATFORMS": "cpu", "EXPRESSNET_TUNE": "0"}


def as_one_run(count: int) -> list[dict[str, str]]:
    """What tells each of so many processes that they are one run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    shared = {cluster.ADDRESS: address, cluster.COUNT: str(count)}
    return [shared | {cluster.NUMBER: str(number)} for number in range(count)]


class Run(subprocess.Popen):
    """`python -m expressnet_jax.main` on the tiny data set, started; overrides of its config, or flags with --."""

    def __init__(self, config: Path, workdir: Path, environment: dict[str, str], *overrides: str):
        self.workdir = workdir
        overrides = [each if each.startswith("--") else f"--config.{each}" for each in overrides]
        command = [sys.executable, "-m", "expressnet_jax.main", "--config", config, "--workdir", workdir, *overrides]
        super().__init__(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, expected: int = 0) -> tuple[str, str]:
        """stdout and stderr, after the exit status has been found to be as expected."""
        out, err = self.communicate(timeout=300)
        assert self.returncode == expected, err
        return out, err

    def stop(self, signum: int, wait: float = 0.0) -> None:
        """Sends a signal, `wait` seconds after the first checkpoint is whole."""
        while self.poll() is None and not saved_steps(self.workdir / "checkpoints"):
            time.sleep(0.005)
        time.sleep(wait)
        self.send_signal(signum)


def arrays(workdir: Path) -> dict[str, np.ndarray]:
    """Every array of the latest and of the best checkpoint, read by Orbax alone."""
    found = {}
    for folder, items in (("checkpoints", ("model", "optimizer")), ("best", ("model",))):
        step = saved_steps(workdir / folder)[-1]
        for item in items:
            with ocp.PyTreeCheckpointer() as reader:
                stored = reader.metadata(step / item).item_metadata.tree
                plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored)
                tree = reader.restore(step / item, restore_args=plain)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
                found[f"{folder}/{step.name}/{item}{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
    return found


def history(workdir: Path) -> list[dict]:
    """The lines of metrics.jsonl without what a clock has measured."""
    entries = read_history(workdir / "metrics.jsonl")
    measured = ("images_per_second", "seconds", "step_ms", "input_wait_ms")
    return [{key: value for key, value in entry.items() if key not in measured} for entry in entries]


def train(config, workdir: Path):
    """The common task, in this process."""
    return loop.train(config, workdir, classification.build_experiment)
