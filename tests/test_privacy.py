"""Nothing is sent, looked up or stored about the use of this project, in whatever process of it."""

import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from expressnet_jax.data.synthetic import generate
from painted_videos import write_video
from runs import CONFIG, SETTINGS, one_device
from watched import STRACE, outside, watch

pytest_plugins = ["run_fixtures"]
CLI = ("-m", "expressnet_jax.cli")
# Commands separated by "then", one after the other in one process, which costs one start.
EACH = """
import itertools, sys
from expressnet_jax.cli import main
words = sys.argv[1:]
status = 0
for then, part in itertools.groupby(words, "then".__eq__):
    if not then:
        sys.argv = ["expressnet", *part]
        status = max(status, main() or 0)
sys.exit(status)
"""


def own_folders(folder):
    """What may be written into, and the log of this test."""
    return folder / "work", folder / "tmp", folder / "home" / ".cache" / "expressnet_jax", folder / "log"


def draw(folder, count=1, size=96):
    folder.mkdir(parents=True)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), generate(i, size=size, channels=3).image)
    return folder


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """An image and a video."""
    folder = tmp_path_factory.mktemp("predicted")
    image, video = draw(folder / "work" / "in") / "0.png", write_video(folder / "work" / "in" / "video.mp4", 4)
    words = ("predict", image, "--detector=haar", "then", "predict", video, "--csv", "video.csv")
    return folder, watch(folder, "-c", EACH, *words, status=1), {"video.csv"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The page and its models, fetched."""
    folder = tmp_path_factory.mktemp("served")

    def fetch(process):
        port = int(re.search(r":(\d+)", process.stdout.readline())[1])
        for path in ("/", "/main.js", "/models/model.json", "/models/expressnet.onnx"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", path)
            assert connection.getresponse().status == 200, path
            connection.close()
        pid = int(subprocess.check_output(["pgrep", "-P", str(process.pid)])) if STRACE else process.pid
        os.kill(pid, signal.SIGINT)

    return folder, watch(folder, *CLI, "web", "--port", "0", drive=fetch, status=130), set()


@pytest.fixture(scope="module")
def learned(tmp_path_factory, data_dir):
    """A short training, its export, and a fine-tuning from it."""
    folder = tmp_path_factory.mktemp("learned")
    (folder / "config.py").write_text(CONFIG.format(settings=SETTINGS | {"data.dir": str(data_dir)}))
    environment = one_device(folder)
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        del environment[name]  # the folder that users have
    words = ("-m", "expressnet_jax.main", "--config", folder / "config.py", "--workdir", "run")
    first = watch(folder, *words, "--config.train.epochs=1.0", environment=environment)
    for name in ("happy", "sad"):
        draw(folder / "work" / "photographs" / name, 6, 48)
    words = ["export", "--checkpoint", "run", "--output", "model.onnx", "then", "finetune", "--data", "photographs"]
    words += ["--output", "own", "--init_from", "run", "--detector", "none", "--epochs", "1"]
    words += [f"--set=augment.{name}=0.0" for name in ("rotate", "zoom", "brightness", "contrast", "random_erasing")]
    second = watch(folder, "-c", EACH, *words, environment=environment)
    join = lambda one, other: one + other if isinstance(one, list | str) else one | other if one is not None else None
    both = type(first)(*(join(one, other) for one, other in zip(first, second, strict=True)))
    return folder, both, {"run", "model.onnx", "own", "photographs"}


@pytest.fixture(params=["predicted", "served", "learned"])
def process(request):
    return request.getfixturevalue(request.param)


def test_python_code_asks_for_no_other_computer_and_writes_what_it_was_asked_to(process, data_dir):
    folder, seen, _ = process
    assert [address for address in seen.addresses if "127.0.0.1" not in address] == []
    assert outside(seen.writes, *own_folders(folder), data_dir) == []  # where it notes that the data is being read


@pytest.mark.skipif(not STRACE, reason="no strace: what native code does can't be seen")
def test_neither_does_native_code(process, data_dir):
    folder, seen, _ = process
    assert [address for address in seen.native_addresses if address not in ("127.0.0.1", "::1")] == []
    assert (
        outside(seen.native_writes, data_dir, *(folder / each for each in ("work", "tmp", "home/.cache", "log"))) == []
    )


def test_nothing_is_left_but_what_was_asked_for_and_compiled_programs(process):
    folder, _, asked = process
    names = lambda place: {path.relative_to(place).as_posix() for path in place.rglob("*")}
    caches = (".cache", ".cache/expressnet_jax", ".cache/expressnet_jax/compiled", ".cache/expressnet_jax/matplotlib")
    left = [
        name for name in names(folder / "home") if name not in caches and Path(name).parent.as_posix() not in caches
    ]
    assert left == [] and list((folder / "tmp").iterdir()) == []
    assert {path.name for path in (folder / "work").iterdir()} - {"in"} == asked


def test_onnx_runtimes_telemetry_is_off_before_it_is_imported(process):
    runtime = process[1].runtime
    assert runtime and set(runtime) == {"1"}


def test_a_user_who_has_switched_it_on_is_protected_too():
    program = "import os, expressnet_jax; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "0"}
    assert subprocess.check_output([sys.executable, "-c", program], env=environment, text=True) == "1\n"


def test_sessions_are_opened_in_one_place_with_events_off(monkeypatch):
    import onnxruntime

    from expressnet_jax.inference.predictor import WEIGHTS
    from expressnet_jax.runtime.ort_session import Session

    package = Path(__file__).parents[1] / "expressnet_jax"
    opened = [path.name for path in package.rglob("*.py") if "InferenceSession(" in path.read_text()]
    assert opened == ["ort_session.py"]
    calls = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: calls.append(1))
    Session((WEIGHTS / "expressnet_tiny.onnx").read_bytes(), "tiny")
    assert calls


def test_preparing_looks_into_no_bucket_and_leaves_nothing(tmp_path, monkeypatch):
    from expressnet_jax.data.prepare import prepare

    asked = lambda *names: pytest.fail(f"TFDS looks for {names}")
    monkeypatch.setattr("tensorflow_datasets.core.utils.gcs_utils.gcs_dataset_info_files", asked)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for name in ("happy", "sad"):
        draw(tmp_path / "images" / name, 2, 48)
    prepare("folder", tmp_path / "images", tmp_path / "data")
    assert list((tmp_path / "tmp").iterdir()) == []
