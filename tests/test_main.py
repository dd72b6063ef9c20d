"""The training command as a newcomer starts it and as a saboteur stops it."""

import json
import random
import re
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from expressnet_jax import main, run_flags
from expressnet_jax.config import default, set_key
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.metrics import classification_metrics
from expressnet_jax.models.inspect import parameter_count
from expressnet_jax.models.registry import create_model
from expressnet_jax.tasks import run_config
from expressnet_jax.training.checkpoints.manager import saved_steps
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from faults import assert_ends_as, tear
from runs import CONFIG, SETTINGS, arrays, history, train, write_images
from weights import shapes_of

pytest_plugins = ["run_fixtures"]
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections reads configs so


@pytest.fixture
def call(monkeypatch, capsys):
    """(arguments) -> exit status, stdout, stderr of the command, in this process."""
    before = set(flags.FLAGS)
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # ml_collections would run the next file in it
    monkeypatch.setattr(sys, "argv", sys.argv)
    main._define_flags()

    def run(*arguments):
        try:
            status = main.main(run_flags.parse(["main", *map(str, arguments)]))
        except SystemExit as leave:
            status = leave.code
        return status, *capsys.readouterr()

    yield run
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


def equal(left, right):
    """The two runs ended with the same bits in every array of their latest and best checkpoints."""
    one, other = arrays(left), arrays(right)
    assert one.keys() == other.keys() and len(one) > 30
    different = [name for name in one if one[name].tobytes() != other[name].tobytes()]
    assert not different


def close(left, right, tolerance=1e-5):
    """The two runs ended with the same weights up to the order of summation."""
    one, other = arrays(left), arrays(right)
    latest = [name for name in one if name.startswith("checkpoints")]
    assert latest
    for name in latest:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_a_run_reports_what_it_wrote(straight):
    named = [line.removeprefix("wrote ") for line in straight.out.splitlines() if line.startswith("wrote ")]
    files = {"evaluation.json", "confusion.png", "error_gallery.html", "curves.png"}
    assert {name.rsplit("/", 1)[1] for name in named} == files
    assert all((straight.workdir / name).stat().st_size for name in files)
    assert "accuracy" in straight.out and "macro-F1" in straight.out


def test_stderr_holds_the_lines_of_this_project_only(straight):
    lines = straight.err.splitlines()
    assert lines[0].startswith("plain_cnn: 363,655 parameters on 1 x cpu")
    assert re.fullmatch(r"data: tiny@[0-9a-f]{12} \(train 60, validation 21, test 9; from \S+/images\)", lines[1])
    assert lines[2] == "tiny: 60 training images, 21 of validation select"
    assert all(line.startswith("step ") for line in lines[3:] if line)


def test_metrics_are_written_at_every_log_line_evaluation_and_checkpoint(straight):
    train = [entry["step"] for entry in history(straight.workdir) if entry["split"] == "train"]
    assert train == [step for step in range(1, 31) if step % 3 == 0 or step % 4 == 0]
    validation = [entry["step"] for entry in history(straight.workdir) if entry["split"] == "validation"]
    assert validation == [*range(4, 30, 4), 30]


def test_the_best_checkpoint_is_that_of_the_highest_metric(straight):
    entries = [entry for entry in history(straight.workdir) if entry["split"] == "validation"]
    highest = max(entry["accuracy"] for entry in entries)
    (best,) = saved_steps(straight.workdir / "best")
    assert int(best.name) == max(entry["step"] for entry in entries if entry["accuracy"] == highest)


def test_killed_and_torn_it_ends_as_if_nothing_had_happened(tmp_path, start, straight):
    run = start(tmp_path)
    run.stop(signal.SIGKILL, wait=random.uniform(0, 0.5))
    run.communicate()
    tear(tmp_path, random.Random())
    assert_ends_as(straight.workdir, start(tmp_path))


def test_a_dry_run_tells_what_a_run_would_take_and_writes_nothing(tmp_path, call, data_dir):
    (tmp_path / "tiny.py").write_text(CONFIG.format(settings=SETTINGS | {"data.dir": str(data_dir)}))
    given = ("--config", tmp_path / "tiny.py", "--workdir", tmp_path / "run")
    status, out, err = call(*given, "--config.train.epochs=40", "--dry_run")
    lines = out.splitlines()
    assert (status, err) == (0, "") and not (tmp_path / "run").exists()
    assert lines[0].startswith("a step of 16 images on 4 devices, compiled in ")
    held = re.match(r"memory of each device: ([\d.]+) MiB, of which ([\d.]+) MiB state and batch", lines[1])
    count = parameter_count(shapes_of(create_model("plain_cnn", 3), (1, 32, 32, 1))["params"])
    least = 3 * 4 * count / 2**20  # weights, momentum and average in float32, and no more but the batch
    assert least - 0.05 < float(held[2]) < least + 0.2 and float(held[1]) > float(held[2])
    assert "GFLOP a step" in lines[2]
    assert re.match(r"\d+ ms a step: 150 steps take about \d+ (s|min), evaluations", lines[3])


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path, start, straight):
    run = start(tmp_path)
    run.stop(signal.SIGINT)
    _, err = run.finish(130)
    step = int(saved_steps(tmp_path / "checkpoints")[-1].name)
    assert err.splitlines()[-1] == f"stopped at step {step} by SIGINT; the same command resumes from there"
    assert history(tmp_path)[-1]["step"] == step
    start(tmp_path).finish()
    equal(tmp_path, straight.workdir)
    assert [entry for entry in history(straight.workdir) if entry["split"] == "validation"] == [
        entry for entry in history(tmp_path) if entry["split"] == "validation"
    ]


def test_four_devices_go_on_where_one_stopped_with_another_reader(tmp_path, tiny_config, straight, capsys):
    shutil.copytree(straight.workdir, tmp_path, dirs_exist_ok=True)
    for folder in saved_steps(tmp_path / "checkpoints")[-2:]:
        shutil.rmtree(folder)
    train(tiny_config(data__reader="device", data__threads=1), tmp_path)
    err = capsys.readouterr().err
    assert "on 4 x cpu" in err and "resuming from step 24" in err
    close(tmp_path, straight.workdir)


def test_a_finished_run_reports_again_and_trains_no_step(tiny_config, straight, capsys):
    before = {path: path.stat().st_mtime_ns for path in (straight.workdir / "checkpoints").rglob("*")}
    figures = json.loads((straight.workdir / "evaluation.json").read_text())
    (straight.workdir / "evaluation.json").unlink()
    files = run_config(tiny_config(), straight.workdir)
    out, err = capsys.readouterr()
    assert straight.out == "\n".join([out, *(f"wrote {path}" for path in files), ""])
    assert err.splitlines()[-1] == "finished before, at step 30: nothing to train"
    again = json.loads((straight.workdir / "evaluation.json").read_text())
    assert again | {"machine": figures["machine"]} == figures  # this process has four devices
    assert {path: path.stat().st_mtime_ns for path in (straight.workdir / "checkpoints").rglob("*")} == before


def test_the_report_is_of_the_best_checkpoint_on_the_selection_split(straight, tiny):
    from expressnet_jax.data.decode import decode_all
    from expressnet_jax.training.step import make_predict_fn

    checkpoint = load_checkpoint(straight.workdir)
    split = tiny.split("validation")
    probabilities = make_predict_fn(checkpoint.model)(checkpoint.variables, decode_all(split, 32, 1))
    figures = classification_metrics(probabilities, split.labels, checkpoint.classes)
    assert f"step {checkpoint.step}," in straight.out
    assert f"{100 * figures['accuracy']:.2f} %" in straight.out


def test_the_folder_config_trains_on_anybodys_images(tmp_path, call):
    images = write_images(tmp_path / "faces", {"": 30}, classes=("cat", "dog"), size=40)
    smaller = ["model.name=plain_cnn", "train.epochs=1", "data.size=32", f"data.dir={tmp_path / 'data'}", "export="]
    smaller += [f"augment.{name}=0" for name in ("crop", "rotate", "zoom", "random_erasing")]  # quicker to compile
    given = ("--config", Path(__file__).parents[1] / "configs" / "folder.py", "--workdir", tmp_path / "run")
    status, _, err = call(*given, *(f"--config.{each}" for each in (*smaller, f"data.source={images}")))
    assert status == 0, err
    assert "folder: 48 training images, 12 of holdout of all select" in err
    assert load_checkpoint(tmp_path / "run").classes == ("cat", "dog")


def test_options_are_set_whether_the_config_file_has_them_or_not():
    given = ["main", "--config=c.py", "--config.model.options.attention", "cbam", "--config.seed=1"]
    given += [
        "--config.model.options.widths=(8, 16)",
        "--config.data.options.style=b",
        "--config.model.options.depths=[1]",
        "--config.model.options.published=True",
    ]
    rest, options = run_flags.take_options(given)
    assert rest == ["main", "--config=c.py", "--config.seed=1"]
    config = default()
    config.model.options.widths = (1, 2, 3)
    config.lock()
    for key, value in options.items():
        run_flags.set_option(config, key, value)
    assert config.model.options.to_dict() == {"attention": "cbam", "widths": (8, 16), "depths": (1,), "published": True}
    assert config.data.options.to_dict() == {"style": "b"}
    with pytest.raises(AttributeError):
        config.model.nmae = "x"


def test_a_key_below_a_value_is_refused_in_one_line():
    for change in (run_flags.set_option, set_key):
        with pytest.raises(UserError, match=r"losses\.expression\.loss: loss is the value 'cross_entropy'"):
            change(default(), "losses.expression.loss.gamma", "1")


WRONG = {
    "nothing": ([], "error: --config is missing; usage: python -m expressnet_jax.main"),
    "no workdir": (["--config", "ok.py"], "error: --workdir is missing"),
    "no such file": (["--config", "none.py", "--workdir", "w"], "error: --config none.py: no such file"),
    "no value": (["--workdir", "w", "--config"], "error: --config : no such file"),
    "syntax": (["--config=syntax.py", "--workdir=w"], "error: --config syntax.py line 2: "),
    "no get_config": (
        ["--config=empty.py", "--workdir=w"],
        "error: --config empty.py: it has no function get_config()",
    ),
    "import": (["--config=imports.py", "--workdir=w"], "error: --config imports.py line 1: ModuleNotFoundError"),
    "locked": (["--config=locked.py", "--workdir=w"], "error: --config locked.py line 6: "),
    "type": (
        ["--config=ok.py", "--workdir=w", "--config.train.batch_size=abc"],
        "error: flag --config.train.batch_size",
    ),
    "key": (
        ["--config=ok.py", "--workdir=w", "--config.train.batchsize=3"],
        "did you mean batch_size? it has accumulate",
    ),
    "section": (["--config=ok.py", "--workdir=w", "--config.trian.epochs=3"], "did you mean train? it has adapt"),
    "option": (
        ["--config=ok.py", "--workdir=w", "--config.model.options.width=3"],
        "model.options: expressnet_small has no 'width'; it has attention, depths",
    ),
    "attention": (
        ["--config=ok.py", "--workdir=w", "--config.model.options.attention", "cbma"],
        "model.options: no attention 'cbma'; one of none, se, eca",
    ),
    "flag": (["--config=ok.py", "--wrokdir=w"], "error: Unknown command line flag 'wrokdir'. Did you mean: workdir"),
    "word": (["--config=ok.py", "--workdir=w", "train"], "error: train: not a flag; usage:"),
}
FILES = {
    "ok.py": "from expressnet_jax.config import default\nget_config = default\n",
    "syntax.py": "\ndef get_config(:\n",
    "empty.py": "config = 1\n",
    "imports.py": "import nothing_of_this_name\n",
    "locked.py": "from expressnet_jax.config import default\n\n\ndef get_config():\n"
    "    config = default()\n    config.train.bath_size = 3\n    return config\n",
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_command_line_is_one_line_and_writes_nothing(shelf, call, monkeypatch, case):
    arguments, expected = WRONG[case]
    monkeypatch.chdir(shelf)
    status, out, err = call(*arguments)
    assert (status, out) == (2, "")
    assert expected in err and err.count("\n") == 1
    assert not (shelf / "w").exists()


def test_help_names_every_key(call):
    status, out, err = call("--help")
    assert (status, err) == (0, "")
    assert "--config.optimizer.learning_rate=0.1" in out and "--workdir DIR" in out
    for flag in ("config", "workdir", "dry_run", "target", "distributed"):
        assert re.search(rf"^  --{flag} +\w", out, re.MULTILINE)
