"""What `predict` finds to look at: content decides, and every file is counted."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from expressnet_jax.errors import UserError
from expressnet_jax.inference.inputs import find_inputs
from painted_videos import write_video


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of images and videos under each other's names, with other things."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "image.mp4", "deep/nameless", "@eaDir/a.jpg", "._a.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), "gray").save(name, "JPEG")
    write_video(tmp_path / "b.mp4", 3)
    for name in ("clip.ts", "clip.dat", "video.jpg", "deep/video"):
        Path(name).write_bytes(Path("b.mp4").read_bytes())
    Path("notes.txt").write_text("a note")
    Path("data.zip").write_bytes(b"PK\3\4")
    return tmp_path


def kinds(inputs):
    return {source.shown: source.kind for source in inputs.sources}


KINDS = {
    "a.jpg": "image",
    "image.mp4": "image",
    "deep/nameless": "image",
    "b.mp4": "video",
    "clip.ts": "video",
    "clip.dat": "video",
    "video.jpg": "video",
    "deep/video": "video",
}


def test_content_decides(here, tmp_path_factory):
    assert kinds(find_inputs(list(KINDS), here)) == KINDS
    assert kinds(find_inputs(["."], here)) == KINDS
    assert kinds(find_inputs(["*.mp4", "deep/*"], here)) == {
        name: kind for name, kind in KINDS.items() if name.startswith("deep") or name.endswith("mp4")
    }


def test_every_file_below_a_folder_is_counted(here):
    inputs = find_inputs(["."], here)
    assert inputs.describe_left_out() == [
        "left out 2 files:",
        "  data.zip (a zip archive)",
        "  notes.txt (text)",
        "skipped 2 files of litter (hidden, thumbnails, unfinished)",
    ]
    read = Counter(image=3, video=4, unreadable=1)
    assert inputs.summary(read) == (
        "12 files: 3 images, 4 videos, 1 unreadable, 4 left out (a zip archive 1, text 1, litter 2)"
    )
    assert sum(path.is_file() for path in here.rglob("*")) == 12


def test_what_is_missing_stays_for_its_reader(here):
    found = kinds(find_inputs(["a.jpg", "gone.png", "gone.mkv"], here))
    assert found == {"a.jpg": "image", "gone.png": "image", "gone.mkv": "video"}


def test_what_somebody_names_is_never_left_out(here):
    assert kinds(find_inputs(["notes.txt", "._a.jpg"], here)) == {"notes.txt": "image", "._a.jpg": "image"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("gone.png", "gone.png: no such file; give files, a folder or a pattern"),
        ("img%03d.png", "such as 'frame"),
        ("*.tif", "no image or video that fits this pattern"),
        ("empty", "no image or video in this folder"),
    ],
)
def test_nothing_there_is_said_by_its_cause(here, word, message):
    (here / "empty").mkdir()
    with pytest.raises(UserError, match=message.replace("*", r"\*").replace("%", "%")) as error:
        find_inputs([word], here)
    assert str(error.value).startswith(f"{word}: ")
