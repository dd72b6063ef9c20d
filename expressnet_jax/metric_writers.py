"""Where a run's figures go: a progress bar on a terminal or plain lines elsewhere, metrics.jsonl, TensorBoard."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from expressnet_jax.environment import process_seconds
from expressnet_jax.errors import UserError
from expressnet_jax.io import write_bytes


def read_history(path: Path, before: int | None = None) -> list[dict]:
    """Return the lines of a metrics.jsonl, those of steps after `before` and a torn last line left out."""
    history = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if before is None or entry["step"] <= before:
            history.append(entry)
    return history


def log_line(line: str) -> None:
    """Print a line on stderr, above the progress bar if there is one."""
    tqdm.write(line, file=sys.stderr)


class MetricsFile:
    """metrics.jsonl, one line an entry, each written out at once.

    A run that starts again at `step` first drops the lines of later steps: they will be written again, so no line
    is lost and none doubled. `seconds` is the time that the kept ones had taken.
    """

    def __init__(self, path: Path, step: int):
        history = read_history(path, step)
        write_bytes(path, "".join(json.dumps(entry) + "\n" for entry in history).encode())
        self.seconds = history[-1].get("seconds", 0.0) if history else 0.0
        self.file = path.open("a")

    def write(self, entry: Mapping[str, float | int | str]) -> None:
        self.file.write(json.dumps(dict(entry)) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class TensorBoard:
    """Scalars for TensorBoard under `folder`, through tensorboardX."""

    def __init__(self, folder: Path, step: int):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise UserError("log.tensorboard: needs tensorboardX; pip install 'expressnet-jax[tensorboard]'") from error
        self.writer = SummaryWriter(str(folder), purge_step=step + 1)  # hides what is written again from there

    def write(self, entry: Mapping[str, float | int | str]) -> None:
        for name, value in entry.items():
            if isinstance(value, int | float) and name != "step":
                self.writer.add_scalar(f"{entry['split']}/{name}", value, entry["step"])

    def close(self) -> None:
        self.writer.close()


class Console:
    """A bar with images/s, time left and the last figures on a terminal; elsewhere a line per entry."""

    def __init__(self, total_steps: int, step: int, batch_size: int, hidden: bool = False):
        self.batch_size = batch_size
        self.total = total_steps
        hidden = hidden or not sys.stderr.isatty()
        self.bar = tqdm(total=total_steps, initial=step, unit="step", disable=hidden, dynamic_ncols=True, smoothing=0.1)

    def advance(self, step: int) -> None:
        self.bar.update(step - self.bar.n)

    def write(self, entry: Mapping[str, float | int | str]) -> None:
        figures = {k: v for k, v in entry.items() if isinstance(v, float) and k not in ("epoch", "seconds")}
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if entry["split"] == "train" and not self.bar.disable:
            self.bar.set_postfix_str(f"{entry.get('images_per_second', 0):.0f} img/s loss {entry.get('loss', 0):.3f}")
        else:
            log_line(f"step {entry['step']}/{self.total}  {entry['split']}  {shown}")

    def close(self) -> None:
        self.bar.close()


class Writers:
    """All of them at once. Every entry gets `seconds`: the run's time so far, compiling and evaluating included.

    `before` is added to the time since this process began: what earlier processes of the same run took, less what this
    one did before the run.
    """

    def __init__(self, writers: list, before: float = 0.0):
        self.writers, self.before = writers, before

    def write(self, entry: Mapping[str, float | int | str]) -> None:
        entry = {**entry, "seconds": round(self.before + process_seconds(), 2)}
        for writer in self.writers:
            writer.write(entry)

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
