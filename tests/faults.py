"""Runs that are killed at random moments, with files torn between: what is left is what an undisturbed run leaves.

    python tests/faults.py --kills 200 --json configs/results/faults.json

`test_main.py` does the same with one.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # as a program, not as a plugin of pytest

from expressnet_jax.data.prepare import prepare
from expressnet_jax.environment import machine
from expressnet_jax.training.checkpoints.manager import saved_steps
from runs import CONFIG, SETTINGS, Run, arrays, history, one_device, write_images

TORN = 0.2  # of the kills also leave a file of the newest checkpoint half as long
START = 0.75  # share of a run's time that a process takes until its first step: most kills shall fall behind it


def tear(workdir: Path, rng: random.Random) -> bool:
    """Halves a file of the newest of several checkpoints, as a machine that loses power may."""
    steps = saved_steps(workdir / "checkpoints")
    files = [path for path in steps[-1].rglob("*") if path.is_file() and path.stat().st_size] if len(steps) > 1 else []
    if not files:
        return False
    path = rng.choice(sorted(files))
    os.truncate(path, path.stat().st_size // 2)
    return True


def disturbed(start, workdir: Path, straight: Path, seconds: float, kills: int, rng: random.Random) -> dict[str, int]:
    """Starts the run again and again until `kills` have hit it, then to its end; counts what was found.

    Raises:
      AssertionError: the end is another one than that of the undisturbed run in `straight`.
    """
    counts = {"kills": 0, "torn": 0}
    while counts["kills"] < kills:
        run = start(workdir)
        wait = seconds * rng.uniform(START, 1.0)
        try:
            run.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.communicate()
            counts["kills"] += 1
            counts["torn"] += rng.random() < TORN and tear(workdir, rng)
        else:
            assert run.returncode == 0
            break
    assert_ends_as(straight, start(workdir))
    return counts


def assert_ends_as(straight: Path, run: Run) -> None:
    """The run goes on to its end, with the same bits and the same lines as the undisturbed one."""
    _, err = run.finish()
    assert "Traceback" not in err
    expected, found = arrays(straight), arrays(run.workdir)
    assert expected.keys() == found.keys()
    assert [name for name in expected if expected[name].tobytes() != found[name].tobytes()] == []
    assert history(run.workdir) == history(straight)


def full_disk(start, folder: Path, straight: Path) -> bool:
    """A run on a disk that is full after some checkpoints, and goes on when there is room: whether it could be tried.

    Raises:
      AssertionError: it did not end with a line that says so, or its end is another one than that of `straight`.
    """
    folder.mkdir()
    mount = lambda *options: subprocess.run(["mount", *options], capture_output=True).returncode == 0
    if not mount("-t", "tmpfs", "-o", "size=24m", "none", str(folder)):
        return False
    try:
        workdir = folder / "run"
        _, err = start(workdir).finish(2)
        assert "no space left" in err and "Traceback" not in err
        assert len(saved_steps(workdir / "checkpoints")) > 1
        assert mount("-o", "remount,size=1g", str(folder))
        assert_ends_as(straight, start(workdir))
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    return True


def runs_on_images(root: Path):
    """workdir -> a Run on a tiny data set that this makes below `root`."""
    images = write_images(root / "images", {"train": 20, "validation": 7, "test": 3})
    prepare("folder", images, root / "data", name="tiny")
    config = root / "tiny.py"
    config.write_text(CONFIG.format(settings=SETTINGS | {"data.dir": str(root / "data")}))
    return lambda workdir: Run(config, workdir, one_device(root / "compiled"))


def harness(kills: int, most: int = 5, seed: int = 0, fill: bool = True) -> dict[str, object]:
    """Until so many kills are done, runs that are each killed up to `most` times; with `fill` first one on a full disk.

    Raises:
      AssertionError: a run did not recover exactly.
    """
    rng, started = random.Random(seed), time.time()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        start = runs_on_images(root)
        start(root / "straight").finish()
        filled = fill and full_disk(start, root / "small", root / "straight")
        if fill:
            print("a full disk:", "one line, and exact afterwards" if filled else "mounting is not allowed here")
        begun = time.time()
        start(root / "again").finish()
        seconds = time.time() - begun
        total = {"kills": 0, "torn": 0, "runs": 0}
        while total["kills"] < kills:
            share = min(rng.randint(1, most), kills - total["kills"])
            counts = disturbed(start, root / f"run{total['runs']}", root / "straight", seconds, share, rng)
            total["runs"] += 1
            for key in ("kills", "torn"):
                total[key] += counts[key]
            print(
                f"{total['kills']} kills, {total['torn']} torn checkpoints, {total['runs']} runs: all exact", flush=True
            )
    return {
        **total,
        "exact": total["runs"],
        "full_disk": filled,
        "seconds": round(time.time() - started),
        "machine": machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = harness(arguments.kills, seed=arguments.seed)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
