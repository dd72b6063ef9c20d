"""Commands in the environments that containers, clusters and schedulers give them."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import pytest

from expressnet_jax.data.store import default_data_dir
from expressnet_jax.data.synthetic.generator import generate
from expressnet_jax.errors import UserError, system_line
from expressnet_jax.process import cache_folder, expanded, settle_process, temporary_folder


@pytest.fixture
def image(tmp_path):
    cv2.imwrite(str(tmp_path / "gesicht_ä.png"), generate(1, size=96, channels=3).image)
    return tmp_path / "gesicht_ä.png"


def expressnet(*words, shell="", **environment):
    """The command's status and what it printed; a variable that is None is not there."""
    kept = {name: value for name, value in (os.environ | environment).items() if value is not None}
    kept["PYTHONPATH"] = str(Path(__file__).parents[1])
    command = [sys.executable, "-m", "expressnet_jax.cli", *map(str, words)]
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    done = subprocess.run(command, env=kept, capture_output=True, timeout=120)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": None},
        {"HOME": "/nonexistent/home"},
        {"HOME": "/dev/null"},
        {"TMPDIR": "/nonexistent"},
        {"COLUMNS": "0"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_prediction_needs_no_home_no_temporary_folder_and_no_alphabet(image, environment):
    status, out, err = expressnet("predict", image, "--detector", "none", **environment)
    assert (status, err) == (0, "") and "1 face" in out


@pytest.mark.parametrize("shell", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_end_in_the_files_that_are_written(image, tmp_path, shell):
    words = ("predict", image, "--detector", "none", "--csv", tmp_path / "faces.csv", "--save", tmp_path / "out.png")
    status, out, err = expressnet(*words, shell=shell)
    assert status == 0 and "Traceback" not in out + err
    header, *rows = (tmp_path / "faces.csv").read_text().splitlines()
    assert header.startswith("image,") and len(rows) == 1 and rows[0].count(",") == header.count(",")
    assert cv2.imread(str(tmp_path / "out.png")) is not None


def test_help_is_printed_in_any_width():
    assert expressnet("predict", "--help", COLUMNS="0")[0] == 0
    assert expressnet("predict", "--help", COLUMNS="1")[0] == 0


def test_caches_are_in_one_folder_or_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("compiled") == tmp_path / "expressnet_jax" / "compiled" and not any(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    for nowhere in (tmp_path / "file", tmp_path / "file" / "below", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(nowhere))
        assert cache_folder("compiled") is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a read-only disk, which root's rights hide
    assert cache_folder("compiled") is None


def no_home(monkeypatch):
    """A user id without an entry, in an environment without HOME."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("EXPRESSNET_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)


def test_without_a_home_what_needs_one_says_so(monkeypatch, tmp_path):
    no_home(monkeypatch)
    assert cache_folder("compiled") is None
    assert expanded(tmp_path) == tmp_path and expanded("a/~b") == Path("a/~b")
    with pytest.raises(UserError, match=r"^~/faces: there is no home folder for ~ here; set HOME, or give the path"):
        expanded("~/faces")
    with pytest.raises(UserError, match=r"or set EXPRESSNET_DATA to where prepared data lives"):
        default_data_dir()


def test_a_temporary_folder_that_is_missing_or_full_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        (folder / "file").write_text("")
    assert not any(tmp_path.iterdir())
    with (
        pytest.raises(UserError, match=r"No space left on device; set TMPDIR to a folder"),
        temporary_folder() as folder,
    ):
        raise OSError(28, "No space left on device", str(folder / "file"))
    with pytest.raises(FileNotFoundError), temporary_folder():  # of another folder it says nothing
        (tmp_path.parent / "none" / "file").read_text()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"temporary folder: none can be written .*; set TMPDIR"), temporary_folder():
        pass


def test_what_the_system_refuses_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        (tmp_path / "none").read_text()
    assert system_line(raised.value) == f"{tmp_path / 'none'}: No such file or directory"
    assert system_line(OSError("the library's own words")) == "the library's own words"


def test_charts_keep_their_fonts_among_the_caches_unless_the_user_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", "mine")
    settle_process()
    assert os.environ["MPLCONFIGDIR"] == "mine"
    monkeypatch.delenv("MPLCONFIGDIR")
    settle_process()
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / "expressnet_jax" / "matplotlib")
    monkeypatch.delenv("MPLCONFIGDIR")
