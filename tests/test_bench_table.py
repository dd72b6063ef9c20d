"""The performance table of bench/README.md says what the JSON says."""

import json
from pathlib import Path

import pytest

from expressnet_jax.accelerators.report import comparison
from expressnet_jax.bench.table import HEAD, table
from expressnet_jax.cli import main

ROOT = Path(__file__).parents[1]
MACHINE = {"devices": "1 x cpu", "cores": 2, "packages": {"jax": "0.10.2", "torch": "2.13.0+cpu"}, "date": "2026-11-21"}
RATIO = {"ratio": 0.8, "least": 0.75, "most": 1.0}
CASES = {
    "step": (
        {
            "network": "resnet18",
            "options": {"size": 48, "model_options": {"width": 32}},
            "images_per_second": {"jax": 90.4},
            "against": {"torch": RATIO, "torch, same allocator": RATIO},
        },
        [
            "| training step of `resnet18` (width 32), 48 pixels, 90 images/s | PyTorch 2.13.0, channels_last, ",
            "as it comes | 0.80 (0.75 to 1.00) |",
            "same allocator",
        ],
    ),
    "memory": ({"reader": "memory", **RATIO}, ["| host-memory reader | a NumPy gather"]),
    "stream": (
        {
            "reader": "stream",
            "jpeg": 448,
            "images": [9, 112, 112, 3],
            "images_per_second": {"pipeline": 1500.0, "bare": 2000.0, "bare, all cores at once": 1600.0},
            **RATIO,
        },
        ["JPEGs of 448 pixels to 112, 1,500 images/s", "| bare decoding on all cores at once | 0.94 |"],
    ),
    "scale": (
        {
            "records": {
                n: {"ratio": r, "start_seconds": 1.5, "end_mib": 400.0} for n, r in (("500", 1.0), ("20000", 1.04))
            }
        },
        ["20,000 records (1.5 s to the first batch, 400 MiB) | 500 records | 1.04 |"],
    ),
    "adapt": (
        {
            "network": "expressnet_small",
            "images_per_second": {"source_only": 200.0, "dann": 90.0},
            "to_plain": {"dann": RATIO},
        },
        ["| adaptation step `dann`, 90 source images/s | plain training of `expressnet_small` | 0.80"],
    ),
    "train": (
        {"network": "expressnet_small", "input_wait_share": 0.004, "save_share": 0.0012, "loop_to_bare": RATIO},
        ["with its input, 0.40 % waiting; a checkpoint a minute costs 0.12 % | its bare step | 0.80"],
    ),
    "devices": (
        {"network": "expressnet_small", "batch_size": 128, "devices": 8, "to_one_device": RATIO},
        ["on 8 devices that share the cores, batch 128 | on one | 0.80"],
    ),
    "muon": ({"network": "resnet18", "to_optax": RATIO}, ["Muon for `resnet18` | optax's own | 0.80"]),
    "start": ({"seconds": {"first_step": 20.0, "first_step_cached": 5.0}}, ["5 s | compiled again: 20 s | 0.25 |"]),
    "model": ({"networks": {}}, []),
}


@pytest.mark.parametrize("name", CASES)
def test_each_benchmark_has_its_rows(tmp_path, name):
    figures, expected = CASES[name]
    (tmp_path / f"bench_{name}.json").write_text(json.dumps({"machine": MACHINE, **figures}))
    made = table(tmp_path)
    assert made.startswith(HEAD) and all(part in made for part in expected)
    rows = made.splitlines()[2:]
    assert all(row.endswith("| 2 CPU cores, jax 0.10.2, 2026-11-21 |") and row.count("|") == 5 for row in rows)
    assert bool(rows) == bool(expected)


def test_the_readme_has_the_table_that_the_command_prints(capsys):
    main(["bench", "table", str(ROOT / "configs" / "results")])
    made = capsys.readouterr().out.strip()
    assert len(made.splitlines()) > 4 and made in (ROOT / "expressnet_jax" / "bench" / "README.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_the_readme_has_what_was_compiled(name):
    figures = json.loads((ROOT / f"configs/results/compile_{name}.json").read_text())
    assert figures["options"]["optimizer"] == name
    readme = (ROOT / "expressnet_jax/bench/README.md").read_text(encoding="utf-8")
    assert comparison(figures["targets"]) in readme


def test_a_folder_without_benchmarks_is_one_line(tmp_path, capsys):
    assert main(["bench", "table", str(tmp_path)]) == 2
    assert "no bench_*.json there" in capsys.readouterr().err
