"""Prepared sets by content: two sources under one name, changes of a source, old layouts, removal and readers."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from expressnet_jax.data import prepare as module
from expressnet_jax.data.datasets import FORMAT_VERSION
from expressnet_jax.data.manage import entries, idle, only, remove, size
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.readers import hold, let_go
from expressnet_jax.data.store import adopt, load
from expressnet_jax.errors import UserError
from runs import write_images

READ = """
import sys
from pathlib import Path
from expressnet_jax.data.readers import hold
from expressnet_jax.data.store import load
hold(load("folder", Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""


def images(folder: Path, count: int = 3) -> Path:
    return write_images(folder, {"train": count}, size=24)


@pytest.fixture
def source(tmp_path):
    return images(tmp_path / "first")


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


def test_two_sources_under_one_name_are_both_there_and_the_last_prepared_is_the_default(tmp_path, source, data_dir):
    other = images(tmp_path / "second", 5)
    first, second = (prepare("folder", each, data_dir) for each in (source, other))
    assert first.identity != second.identity and load("folder", data_dir).splits == {"train": 15}
    assert prepare("folder", source, data_dir).directory == first.directory
    assert load("folder", data_dir).splits == {"train": 9}  # asked for last
    assert len(second.split("train").encoded_batch(range(15))) == 15
    assert load(f"folder@{second.identity[:5]}", data_dir).directory == second.directory


def test_any_name_can_be_prepared_again_over_what_is_there(tmp_path):
    """Also that of the folder in which what was there waits for its end."""
    for turn in ("old", "new"):
        made = tmp_path / "stage" / "replaced"
        (made / FORMAT_VERSION).mkdir(parents=True)
        (made / FORMAT_VERSION / "facts.json").write_text(json.dumps({"turn": turn}))
        adopt(made, tmp_path / "replaced" / "identity", overwrite=True)
    stored = tmp_path / "replaced" / "identity" / FORMAT_VERSION / "facts.json"
    assert json.loads(stored.read_text()) == {"turn": "new"}


def test_an_identity_that_is_not_there_is_answered_with_those_that_are(tmp_path, source, data_dir):
    first, second = prepare("folder", source, data_dir), prepare("folder", images(tmp_path / "more", 4), data_dir)
    with pytest.raises(UserError, match=r"folder@xyz: no such set in .*; one of ") as refused:
        load("folder@xyz", data_dir)
    assert first.label in str(refused.value) and second.label in str(refused.value)


def test_the_same_content_is_stored_once_wherever_it_comes_from(tmp_path, source, data_dir):
    copy = shutil.copytree(source, tmp_path / "elsewhere")
    first, second = prepare("folder", source, data_dir), prepare("folder", copy, data_dir)
    assert second.directory == first.directory and second.source == str(copy)
    named = prepare("folder", copy, data_dir, name="mine")
    assert named.identity == first.identity and named.directory != first.directory


def add(source):
    image = np.random.default_rng(9).integers(0, 256, (24, 24), np.uint8)
    cv2.imwrite(str(source / "train/anger/new.png"), image)


def remove_one(source):
    (source / "train/anger/0.png").unlink()


def repaint(source):
    """The same name and the same size on the disk."""
    path = source / "train/anger/0.bmp"
    before = path.stat().st_size
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(path), 255 - image)
    assert path.stat().st_size == before


def relabel(source):
    (source / "train/anger/0.png").rename(source / "train/neutral/moved.png")


@pytest.mark.parametrize("change", [add, remove_one, repaint, relabel])
def test_a_changed_source_is_said_and_becomes_another_set(source, data_dir, capsys, change):
    image = cv2.imread(str(source / "train/anger/0.png"), cv2.IMREAD_GRAYSCALE)
    if change is repaint:
        cv2.imwrite(str(source / "train/anger/0.bmp"), image)
    before = prepare("folder", source, data_dir)
    records = before.split("train").encoded_batch(range(9))
    change(source)
    after = prepare("folder", source, data_dir)
    assert after.identity != before.identity
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"folder: {source} has changed since it was prepared as folder@{before.identity}",
        f"folder: it is now folder@{after.identity}",
    ]
    assert load(before.label, data_dir).split("train").encoded_batch(range(9)) == records


def test_a_source_that_was_only_touched_keeps_its_identity(source, data_dir, capsys):
    before = prepare("folder", source, data_dir)
    os.utime(source / "train/anger/0.png", (1, 1))
    assert prepare("folder", source, data_dir).directory == before.directory
    assert "folder: its images and labels are the same" in capsys.readouterr().err
    prepare("folder", source, data_dir)
    assert capsys.readouterr().err == ""


def test_images_that_a_csv_lists_belong_to_its_source(tmp_path, source, data_dir):
    rows = [f"first/train/{name}/{i}.png,{name}" for name in ("anger", "neutral") for i in range(3)]
    table = tmp_path / "list.csv"
    table.write_text("\n".join(["path,label", *rows]))
    before = prepare("folder", table, data_dir)
    image = cv2.imread(str(source / "train/anger/1.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(source / "train/anger/1.png"), 255 - image)
    assert prepare("folder", table, data_dir).identity != before.identity


def test_synthetic_faces_of_other_options_lie_next_to_each_other(data_dir):
    small = {"num_train": 20, "num_validation": 4, "num_test": 0, "size": 24}
    first = prepare("synthetic", None, data_dir, **small)
    second = prepare("synthetic", None, data_dir, **small | {"seed": 1})
    assert first.identity != second.identity
    assert len(first.split("train").encoded_batch(range(20))) == 20
    assert prepare("synthetic", None, data_dir, **small).directory == first.directory


def as_before(prepared):
    """Moves a set to where it lay before there were identities."""
    home = prepared.directory.parents[1]
    old = home / FORMAT_VERSION
    shutil.move(prepared.directory, old)
    shutil.rmtree(home / prepared.identity)
    shutil.rmtree(home / "sources")
    facts = json.loads((old / "facts.json").read_text())
    del facts["identity"]
    (old / "facts.json").write_text(json.dumps(facts))
    for path in old.glob("digests_*"):
        path.unlink()
    return old


def test_a_set_of_the_time_before_is_found_and_has_the_same_identity(source, data_dir):
    new = prepare("folder", source, data_dir)
    old = as_before(new)
    found = load("folder", data_dir)
    assert found.directory == old and found.identity == new.identity
    assert load(new.label, data_dir).directory == old
    assert prepare("folder", source, data_dir).directory == old  # no second copy
    assert [entry.label for entry in entries(data_dir)] == [new.label]
    remove(only(entries(data_dir), "folder"))
    assert entries(data_dir) == [] and not old.exists()


def test_a_folder_that_can_only_be_read_serves_what_it_holds(source, data_dir, monkeypatch):
    made = prepare("folder", source, data_dir)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(data_dir))

    monkeypatch.setattr(module.store, "remember", refuse)
    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert hold(prepare("folder", source, data_dir)).directory == made.directory
    add(source)
    with pytest.raises(UserError, match="permission denied; give another path"):
        prepare("folder", source, data_dir)


def test_two_that_prepare_the_same_content_at_once_both_have_it(tmp_path, source, data_dir):
    """From two paths, so that neither waits; the second one finds the place taken."""
    copy, found = shutil.copytree(source, tmp_path / "copy"), []
    threads = [
        threading.Thread(target=lambda each=each: found.append(prepare("folder", each, data_dir)))
        for each in (source, copy)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.directory for each in found}) == 1 and len(found) == 2
    assert not list(data_dir.glob(".*.partial"))


def test_pixel_hashes_do_not_depend_on_labels_names_or_gray_in_three_channels(tmp_path, source, data_dir):
    path = source / "train/anger/0.png"
    other = images(tmp_path / "other", 3)
    cv2.imwrite(str(other / "train/neutral/0.png"), cv2.imread(str(path)))  # as colour
    one, two = prepare("folder", source, data_dir), prepare("folder", other, data_dir, name="other")
    rows = [
        prepared.digests("train")[prepared.split("train").keys.tolist().index(key)].tobytes()
        for prepared, key in ((one, "train/anger/0.png"), (two, "train/neutral/0.png"))
    ]
    assert rows[0] == rows[1] and len({row.tobytes() for row in one.digests("train")}) == 9


def test_a_set_that_another_process_reads_is_not_removed(source, data_dir):
    prepare("folder", source, data_dir)
    reader = subprocess.Popen(
        [sys.executable, "-c", READ, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process reads it"):
            remove(only(entries(data_dir), "folder"))
        assert load("folder", data_dir).splits == {"train": 9}
    finally:
        reader.kill()
        reader.communicate()
    remove(only(entries(data_dir), "folder"))  # a killed reader leaves no lock behind
    with pytest.raises(UserError, match="folder is not prepared"):
        load("folder", data_dir)


def test_the_last_use_is_noted(source, data_dir):
    prepared = prepare("folder", source, data_dir)
    home = prepared.directory.parent
    hold(prepared)
    let_go(home)
    os.utime(home / "used", (1e9, 1e9))
    for record in (data_dir / "folder/sources").iterdir():
        record.write_text(json.dumps(json.loads(record.read_text()) | {"prepared": 1e9}))
    (entry,) = entries(data_dir)
    assert entry.used == 1e9 and idle([entry], 30) == [entry]
    hold(prepared)
    let_go(home)
    assert idle(entries(data_dir), 30) == [] and not list(home.glob("readers/*"))


def test_a_set_that_is_read_stays_so_when_it_is_prepared_over(source, data_dir):
    prepared = hold(prepare("folder", source, data_dir))
    again = prepare("folder", source, data_dir, overwrite=True)
    assert again.directory == prepared.directory
    with pytest.raises(UserError, match="another process reads it"):
        remove(only(entries(data_dir), "folder"))
    let_go(again.directory.parent)
    remove(only(entries(data_dir), "folder"))


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (5 << 40, "5120.0 GiB")]
)
def test_sizes_are_read_by_people(count, text):
    assert size(count) == text
