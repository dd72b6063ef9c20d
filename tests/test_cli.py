"""The `expressnet` command: each part once, and one line for whatever a newcomer gets wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import onnx
import pytest

from expressnet_jax import __version__, cli
from expressnet_jax.cli_args import key_and_value
from expressnet_jax.training.checkpoints.manager import saved_steps
from runs import write_images

pytest_plugins = ["run_fixtures"]

COMMANDS = ("prepare", "audit", "show", "evaluate", "summary", "export", "models", "bench")
COMMANDS += ("predict", "webcam", "web", "finetune", "baseline")


@pytest.fixture
def call(capfd, monkeypatch, data_dir):
    """(arguments) -> exit status, stdout, stderr of the command, with the tiny data set in $EXPRESSNET_DATA."""
    monkeypatch.setenv("EXPRESSNET_DATA", str(data_dir))

    def run(*arguments):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as leave:
            status = leave.code
        out, err = capfd.readouterr()
        return status, out, err

    return run


def assert_refused(result, *expected):
    """Exit status 2 and one line on stderr that holds all of this."""
    status, out, err = result
    assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1, err
    for part in expected:
        assert part in err


def test_the_help_of_every_command(call):
    status, out, err = call("--help")
    assert status == 0 and err == "" and all(f"    {name} " in out for name in COMMANDS)
    for name in COMMANDS:
        status, out, err = call(name, "--help")
        assert status == 0 and err == "" and f"usage: expressnet {name}" in out


def test_version(call):
    assert call("--version") == (0, f"{__version__}\n", "")


def test_without_a_command_with_an_unknown_one_or_without_what_it_needs(call):
    assert_refused(call(), "COMMAND", "see expressnet --help")
    assert_refused(call("trian"), "'trian'", *COMMANDS)
    assert_refused(call("evaluate", "--data", "tiny"), "--checkpoint", "see expressnet evaluate --help")
    assert_refused(call("models", "--size", "large"), "--size", "'large'")
    assert_refused(call("bench", "gpu"), "'gpu'", "input")


# Data.


def test_prepare_audit_show(call, tmp_path):
    images = write_images(tmp_path / "images", {"train": 4, "test": 2}, size=48)
    status, out, _ = call("prepare", "folder", "--source", images, "--name", "mine", "--data_dir", tmp_path / "d")
    assert status == 0 and "mine: train 12, test 6; 7 classes: anger" in out and "next: expressnet audit mine" in out
    status, out, _ = call("audit", "mine", "--data_dir", tmp_path / "d")
    assert status == 0 and len(list((tmp_path / "d/mine").glob("*/1.0.0/audit.json"))) == 1 and "audit.json" in out
    for options in ((), ("--augment", "--split", "test"), ("--effects",)):
        output = tmp_path / "grid.png"
        status, out, _ = call("show", "mine", "--output", output, "--data_dir", tmp_path / "d", *options)
        assert status == 0 and out == f"wrote {output}\n" and output.read_bytes().startswith(b"\x89PNG")
        output.unlink()


def test_wrong_data(call, tmp_path):
    assert_refused(call("prepare", "fer2031", "--source", tmp_path), "no data set 'fer2031'", "fer2013, ferplus")
    assert_refused(call("prepare", "fer2013"), "fer2013: no source given")
    assert_refused(call("prepare", "folder", "--source", tmp_path / "none"), "none: no such file or folder")
    assert_refused(call("prepare", "folder", "--source", tmp_path), "folder")
    assert_refused(
        call("prepare", "folder", "--source", tmp_path, "--option", "size"), "--option: 'size': write KEY=VALUE"
    )
    for command in (("audit", "fer2013"), ("show", "fer2013", "--output", tmp_path / "a.png")):
        assert_refused(call(*command), "fer2013 is not prepared", "run: expressnet prepare fer2013 --source PATH")
    assert_refused(
        call("show", "tiny", "--split", "dev", "--output", tmp_path / "a.png"), "no split 'dev'", "train, validation"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=3", ("a", 3)), ("a=b", ("a", "b")), ("a=", ("a", "")), ("a=[1, 2]", ("a", [1, 2])), ("a=b=c", ("a", "b=c"))],
)
def test_options_of_a_data_set_are_json_or_text(text, value):
    assert key_and_value(text) == value


# A trained checkpoint.


def test_evaluate_by_name_and_by_folder(call, straight, tmp_path):
    status, out, err = call(
        "evaluate",
        "--checkpoint",
        straight.workdir,
        "--data",
        "tiny",
        "--json",
        tmp_path / "a.json",
        "--report",
        tmp_path / "report",
    )
    assert status == 0 and err == ""
    assert out.splitlines()[0].startswith("plain_cnn on tiny, test")
    figures = json.loads((tmp_path / "a.json").read_text())
    assert figures["count"] == 9 and figures["split"] == "test" and figures["data"] == "tiny"
    assert f"{100 * figures['accuracy']:.2f} %" in out
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "confusion.png",
        "error_gallery.html",
        "evaluation.json",
    ]

    images = write_images(tmp_path / "faces", {"": 5}, classes=("Happy", "angry", "contempt"), size=64)
    status, out, err = call(
        "evaluate",
        "--checkpoint",
        straight.workdir / "checkpoints",
        "--data",
        images,
        "--tta",
        "flip",
        "--json",
        tmp_path / "b.json",
    )
    assert status == 0 and "5 images left out: the model does not know their class" in out
    figures = json.loads((tmp_path / "b.json").read_text())
    assert figures["count"] == 10 and figures["tta"] == "flip" and figures["split"] == "all"


def test_a_prepared_name_comes_before_a_folder_of_that_name(call, straight, tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    status, out, _ = call("evaluate", "--checkpoint", straight.workdir, "--data", "tiny", "--split", "validation")
    assert status == 0 and "plain_cnn on tiny, validation" in out
    assert_refused(call("evaluate", "--checkpoint", straight.workdir, "--data", "./tiny"), "folder")


def test_wrong_checkpoints_and_data(call, straight, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    evaluate = lambda checkpoint, *rest: call("evaluate", "--checkpoint", checkpoint, "--data", "tiny", *rest)
    assert_refused(evaluate(tmp_path / "none"), "no such folder; give a run's --workdir")
    assert_refused(evaluate(tmp_path / "file"), "no such folder")
    assert_refused(evaluate(tmp_path / "empty"), "no checkpoint in it")
    assert_refused(
        evaluate(straight.workdir, "--split", "dev"), "tiny has no split 'dev'; its splits are: train, validation, test"
    )
    assert_refused(evaluate(straight.workdir, "--tta", "five"), "'five'; there are: none, flip, ten_crop")
    assert_refused(call("evaluate", "--checkpoint", straight.workdir, "--data", "nothing"), "nothing is not prepared")
    assert_refused(
        call("export", "--checkpoint", tmp_path / "empty", "--output", tmp_path / "m.onnx"), "no checkpoint in it"
    )
    cats = write_images(tmp_path / "cats", {"": 2}, classes=("cat", "dog"))
    assert_refused(
        call("evaluate", "--checkpoint", straight.workdir, "--data", cats), "no class in common: data cat, dog; model"
    )


def test_a_damaged_or_foreign_checkpoint(call, straight, tmp_path):
    run = shutil.copytree(straight.workdir, tmp_path / "run")
    (best,) = saved_steps(run / "best")
    metadata = best / "metadata" / "metadata"
    text = metadata.read_text()
    changed = json.loads(text)
    changed["classes"] = ["anger", "fear"]
    metadata.write_text(json.dumps(changed))
    assert_refused(call("evaluate", "--checkpoint", run, "--data", "tiny"), "no plain_cnn of 2 classes")
    metadata.write_text(text)
    (best / "model" / "manifest.ocdbt").unlink()
    assert_refused(call("evaluate", "--checkpoint", run, "--data", "tiny"), str(best), "its arrays are damaged")


def test_export_adjusts_and_calibrates_on_prepared_data(call, straight, tmp_path):
    path, common = tmp_path / "m.onnx", ("export", "--checkpoint", straight.workdir, "--output")
    status, out, _ = call(*common, path, "--data", "tiny", "--calibrate", "validation", "--adjust", "expression=0.5")
    assert status == 0 and "wrote" in out
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert len(json.loads(metadata["logit_shifts"])["expression"]) == 7 and metadata["temperature"] != "1.0"
    other = tmp_path / "n.onnx"
    assert_refused(call(*common, other, "--data", "tiny", "--adjust", "mood=1"), "'mood' is no class of")
    assert_refused(call(*common, other, "--adjust", "expression=1"), "--adjust and --int8 learn from images")
    for wrong in ("expression", "expression=much", "expression=NaN", "expression=-4"):
        assert_refused(call(*common, other, "--data", "tiny", "--adjust", wrong), repr(wrong))
    assert not other.exists()


def test_export(call, straight, tmp_path):
    status, out, _ = call("export", "--checkpoint", straight.workdir, "--output", tmp_path / "m.onnx", "--data", "tiny")
    assert status == 0 and f"wrote {tmp_path / 'm.onnx'}" in out and (tmp_path / "m.onnx").stat().st_size > 10_000


# Models and bench.


def test_models(call):
    status, out, err = call("models", "plain_cnn", "--size", "32")
    assert status == 0 and err == "" and "backbone/conv_1/kernel" in out
    assert_refused(call("models", "vgg"), "no model 'vgg'; one of expressnet_tiny")


@pytest.mark.parametrize(
    "wrong", [("--size", "0"), ("--size", "-3"), ("--size", "10"), ("--channels", "2"), ("--channels", "0")]
)
def test_models_of_an_impossible_size(call, wrong):
    assert_refused(call("models", "plain_cnn", *wrong), wrong[0], wrong[1])


def test_bench(call, tmp_path, monkeypatch):
    from expressnet_jax.bench import input as bench

    measure = bench.bench_memory
    monkeypatch.setattr(bench, "bench_memory", lambda: measure(300, 8, batch_size=32))
    status, out, _ = call("bench", "input", "--json", tmp_path / "bench.json")
    assert status == 0 and "ratio" in out and "images_per_second" in json.loads((tmp_path / "bench.json").read_text())


# The process.


def python(program, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], **options)


def test_help_imports_nothing_slow():
    process = python("""
        import sys
        from expressnet_jax import cli
        cli.parser().format_help()
        slow = {"jax", "numpy", "cv2", "tensorflow", "absl", "hashlib", "importlib.metadata"}
        print(sorted(slow & set(sys.modules)))
    """)
    assert process.communicate()[0] == "[]\n"


def test_a_pipe_that_closes_early_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        process = python(
            """
            from expressnet_jax import cli
            cli.models = lambda _: print("x" * 1_000_000)
            raise SystemExit(cli.main(["models"]))
            """,
            stdout=closed,
        )
        _, err = process.communicate()
    assert process.returncode == 0 and err == ""


def test_ctrl_c_is_a_word_and_130():
    process = python("""
        import sys, time
        from expressnet_jax import cli
        cli.models = lambda _: (print("ready", flush=True), time.sleep(60))
        sys.exit(cli.main(["models"]))
    """)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and err == "stopped\n"


def test_called_from_a_program_it_never_starts_that_program_again():
    hidden = ("EXPRESSNET_TUNE", "XLA_FLAGS", "GLIBC_TUNABLES")
    process = python(
        """
        import os
        os.execv = None
        from expressnet_jax import cli
        cli.models = lambda _: print("called")
        cli.main(["models"])
        """,
        env={name: value for name, value in os.environ.items() if name not in hidden},
    )
    out, err = process.communicate()
    assert out == "called\n" and err == "" and process.returncode == 0
