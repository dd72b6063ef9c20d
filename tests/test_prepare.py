"""Preparing once and reading by position: order, facts, repeatability, and what an interruption leaves."""

import contextlib
import errno
import hashlib
import json
import pickle
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from expressnet_jax.data import record_writer, with_beam
from expressnet_jax.data.datasets import DATASETS, base, builder_class
from expressnet_jax.data.datasets.base import FaceBuilder, Record
from expressnet_jax.data.decode import decode, decode_all, validate_and_encode
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.prepared import Columns
from expressnet_jax.data.store import default_data_dir, load
from expressnet_jax.errors import UserError

COUNT = 40
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 8, 9, 3), np.uint8)
VOTES = np.random.default_rng(1).dirichlet(np.ones(3), COUNT).astype(np.float32)
SMALL = {"num_train": 400, "num_validation": 10, "num_test": 10, "size": 24}
POINTS = np.random.default_rng(2).normal(size=(COUNT, 4, 2)).astype(np.float32)


class Faces(FaceBuilder, skip_registration=True):
    """Random images with every kind of column."""

    name = "faces"
    CLASSES = ("a", "b", "c")
    CHANNELS = 3
    LICENSE = "none"
    HOW_TO_GET = "They are made here."
    COLUMNS: ClassVar = {
        "votes": ((3,), np.float32),
        "subject": ((), str),
        "valence": ((), np.float32),
        "points": ((4, 2), np.float32),
    }
    OPTIONS: ClassVar = {"count": COUNT, "label": None, "fail": None}
    NEEDS_SOURCE = False

    def read(self, source):
        self.notes["made"] = self.options["count"]
        return {"train": self.records(0, 30), "all": self.records(30, self.options["count"])}

    def records(self, start, stop):
        for i in range(start, stop):
            if i == self.options["fail"]:
                raise KeyboardInterrupt
            label = i % 3 if self.options["label"] is None else self.options["label"]
            extras = {"points": POINTS[i]}
            yield Record(f"face{i}", PIXELS[i], label, VOTES[i], f"person{i % 7}", i / COUNT, extras=extras)


class Passing:
    """Records that can only be walked through."""

    def __init__(self, records):
        self.records = list(records)

    def __iter__(self):
        return iter(self.records)


@pytest.fixture(autouse=True)
def faces(monkeypatch):
    monkeypatch.setitem(DATASETS, "faces", f"{__name__}:Faces")
    monkeypatch.setattr(record_writer, "EXAMPLES_PER_FILE", 11)  # so that a split is several files
    monkeypatch.setattr(record_writer, "EXAMPLES_PER_WRITE", 7)


def visible(data_dir):
    """What lies in the folder, the locks left out, and of what is half-prepared which source it is of."""
    names = [path.name for path in data_dir.iterdir() if path.suffix != ".lock"]
    return sorted(re.sub(r"^(\.\w+)\.[0-9a-f]{12}(\.partial)$", r"\1\2", name) for name in names)


def stage(data_dir):
    """The hidden folder of the one interrupted preparation."""
    (found,) = data_dir.glob(".*.partial")
    return found


def test_record_i_is_the_ith_of_the_source_with_all_its_columns(tmp_path):
    prepared = prepare("faces", None, tmp_path)
    assert prepared.splits == {"train": 30, "all": 10}
    for name, rows in (("train", np.arange(30)), ("all", np.arange(30, 40))):
        split = prepared.split(name)
        np.testing.assert_array_equal(decode_all(split, None, 3, 2), PIXELS[rows])
        np.testing.assert_array_equal(split.labels, rows % 3)
        assert split.labels.dtype == np.int32
        assert split.keys.tolist() == [f"face{i}" for i in rows]
        assert split.subjects.tolist() == [f"person{i % 7}" for i in rows]
        np.testing.assert_array_equal(split.votes, VOTES[rows])
        np.testing.assert_array_equal(split.columns["points"], POINTS[rows])
        np.testing.assert_allclose(split.columns["valence"], rows / COUNT, rtol=1e-6)
        np.testing.assert_array_equal(split.indices, np.arange(len(rows)))


def test_a_column_is_read_when_it_is_first_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "index.npz"
    np.savez(path, label=np.arange(3), key=np.array(["a", "b", "c"]))
    columns = Columns(path)
    assert list(columns) == ["label", "key"] and len(columns) == 2 and "votes" not in columns
    np.testing.assert_array_equal(columns["label"], [0, 1, 2])
    path.unlink()
    assert columns["label"][2] == 2 and columns.get("votes") is None
    with pytest.raises(FileNotFoundError):
        columns["key"]


def test_tfds_reads_the_same_without_tensorflow(tmp_path):
    prepared = prepare("faces", None, tmp_path)
    builder, identity = tfds.builder_from_directory(prepared.directory), prepared.identity
    train = builder.as_data_source(split="train")
    assert len(train) == 30
    for i in (0, 10, 11, 29):
        np.testing.assert_array_equal(train[i]["image"], PIXELS[i])
        np.testing.assert_array_equal(train[i]["points"], POINTS[i])
        assert (train[i]["label"], train[i]["key"]) == (i % 3, f"face{i}".encode())
    assert dict(builder.info.splits).keys() == {"train", "everything"}  # TFDS keeps the word "all" for itself
    assert builder.info.features["label"].names == ["a", "b", "c"]
    assert tfds.builder(f"faces/{identity}", data_dir=tmp_path, try_gcs=False).info.splits["train"].num_examples == 30
    assert "tensorflow" not in sys.modules


def test_the_builder_is_one_that_tfds_itself_can_run(tmp_path):
    builder = builder_class("fer2013")(data_dir=tmp_path / "tfds")
    pixels = PIXELS[:3, 0, 0].repeat(768, 1)
    rows = [f'{i},"{" ".join(map(str, row))}",Training' for i, row in enumerate(pixels)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=tmp_path, try_download_gcs=False)
    )
    train = builder.as_data_source(split="train")
    assert [example["label"] for example in train] == [0, 1, 2]
    np.testing.assert_array_equal(train[2]["image"].ravel(), pixels[2])


def test_facts_count_and_hash_what_is_stored(tmp_path):
    facts = prepare("faces", None, tmp_path).facts
    digest = hashlib.sha256()
    for i in range(30):
        record = np.array([i % 3, 8, 9, 3], "<i4").tobytes() + PIXELS[i].tobytes()
        digest.update(hashlib.sha256(record).digest())
    assert facts["splits"]["train"] == {
        "examples": 30,
        "per_class": {"a": 10, "b": 10, "c": 10},
        "height": [8, 8],
        "width": [9, 9],
        "channels": [3],
        "sha256": digest.hexdigest(),
    }
    assert facts["splits"]["all"]["per_class"] == {"a": 4, "b": 3, "c": 3}
    assert (facts["license"], facts["notes"], facts["dataset"]) == ("none", {"made": COUNT}, "faces")
    assert facts["options"] == {"count": COUNT, "label": None, "fail": None}


def test_two_preparations_are_equal_file_by_file(tmp_path):
    assert_equal_files(*(prepare("faces", None, tmp_path / name).directory for name in ("one", "two")))


def assert_equal_files(first, second):
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    for name in names:
        if name.endswith(".npz"):
            with np.load(first / name) as one, np.load(second / name) as two:
                assert all(np.array_equal(one[column], two[column]) for column in one)
        else:
            assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_same_again_does_nothing_and_other_options_replace(tmp_path):
    stamp = prepare("faces", None, tmp_path).directory.stat().st_ino
    assert prepare("faces", None, tmp_path).directory.stat().st_ino == stamp
    assert prepare("faces", None, tmp_path, overwrite=True).directory.stat().st_ino != stamp
    assert prepare("faces", None, tmp_path, count=33).splits == {"train": 30, "all": 3}
    assert visible(tmp_path) == ["faces"]


def test_a_changed_source_is_prepared_again(tmp_path):
    def table(emotion):
        row = " ".join(["7"] * 2304)
        (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{row},Training\n{emotion},{row},Training\n")
        return prepare("fer2013", tmp_path / "fer2013.csv", tmp_path / "data").split("train").labels.tolist()

    assert table(3) == [0, 3]
    assert table(5) == [0, 5]


@pytest.mark.parametrize("fail", [5, 35])
def test_an_interruption_leaves_whole_files_at_most_and_keeps_what_was_there(tmp_path, fail):
    with pytest.raises(KeyboardInterrupt):
        prepare("faces", None, tmp_path, fail=fail)
    left = [".faces.partial"] if fail > 11 else []
    assert visible(tmp_path) == left
    with pytest.raises(UserError, match="not prepared"):
        load("faces", tmp_path)
    before = prepare("faces", None, tmp_path).facts
    assert visible(tmp_path) == [*left, "faces"]  # of other options, which that preparation leaves alone
    with pytest.raises(KeyboardInterrupt):
        prepare("faces", None, tmp_path, fail=fail)
    assert load("faces", tmp_path).facts == before


@pytest.mark.parametrize("shape", [list, Passing])
def test_the_same_call_goes_on_behind_the_files_that_are_whole(tmp_path, monkeypatch, capsys, shape):
    """Whether the source can be entered anywhere, or has to be walked through."""
    checked, records = [], Faces.records

    def failing_after(limit):
        def check(image, *declared):
            checked.append(image)
            if len(checked) > limit:
                raise RuntimeError("enough")
            return validate_and_encode(image, *declared)

        return check

    monkeypatch.setattr(Faces, "records", lambda self, *span: shape(records(self, *span)))
    straight = prepare("faces", None, tmp_path / "straight").directory
    monkeypatch.setattr(base, "validate_and_encode", failing_after(28))
    with pytest.raises(RuntimeError, match="enough"):
        prepare("faces", None, tmp_path / "again")
    monkeypatch.setattr(base, "validate_and_encode", failing_after(COUNT))
    checked.clear()
    assert_equal_files(straight, prepare("faces", None, tmp_path / "again").directory)
    assert len(checked) == COUNT - 22 and visible(tmp_path / "again") == ["faces"]
    assert capsys.readouterr().err == "faces train: resuming after 22 images\n"


def test_skipped_images_are_counted_by_the_call_that_goes_on(tmp_path, monkeypatch):
    bad, calls = {2, 13, 22, 39}, {"left": 28}

    def reading(image, channels, size):
        number = next(i for i in range(COUNT) if image is PIXELS[i] or np.array_equal(image, PIXELS[i]))
        if number in bad:
            raise UserError("torn")
        if number >= calls["left"]:
            raise KeyboardInterrupt
        return validate_and_encode(image, channels, size)

    monkeypatch.setattr(base, "validate_and_encode", reading)
    with pytest.raises(KeyboardInterrupt):
        prepare("faces", None, tmp_path, skip_bad=True)
    calls["left"] = COUNT
    prepared = prepare("faces", None, tmp_path, skip_bad=True)
    assert prepared.splits == {"train": 27, "all": 9}
    kept = [f"face{i}" for i in range(COUNT) if i not in bad]
    assert [*prepared.split("train").keys, *prepared.split("all").keys] == kept
    assert prepared.facts["notes"]["left out"] == {f"face{i}": "torn" for i in sorted(bad)}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04torn", None])
def test_what_a_power_failure_tore_is_one_line_and_the_next_call_begins_anew(tmp_path, monkeypatch, content):
    whole = Faces.records
    monkeypatch.setattr(Faces, "records", interrupt_after(whole, 28))
    with pytest.raises(KeyboardInterrupt):
        prepare("faces", None, tmp_path)
    monkeypatch.setattr(Faces, "records", whole)
    part = stage(tmp_path) / "train_0.npz"
    part.unlink() if content is None else part.write_bytes(content)
    with pytest.raises(UserError, match=r"left is damaged \(train_0.npz: .*\) and was removed; the same command"):
        prepare("faces", None, tmp_path)
    assert visible(tmp_path) == []
    assert prepare("faces", None, tmp_path).facts == prepare("faces", None, tmp_path / "straight").facts


def interrupt_after(records, count):
    """The same records, but Ctrl-C comes behind so many."""

    def interrupted(self, *span):
        yield from islice(records(self, *span), count)
        raise KeyboardInterrupt

    return interrupted


def test_killed_at_any_moment_it_ends_as_if_nothing_had_happened(tmp_path, monkeypatch):
    """The hard way: a process that is killed each time when it has written one file more."""
    program = (
        "import sys; from pathlib import Path; from expressnet_jax.data import prepare as module, record_writer;"
        f"record_writer.EXAMPLES_PER_FILE = 40; module.prepare('synthetic', None, Path(sys.argv[1]), **{SMALL})"
    )
    monkeypatch.setattr(record_writer, "EXAMPLES_PER_FILE", 40)
    straight = prepare("synthetic", None, tmp_path / "straight", **SMALL)
    for files in (1, 4):
        run = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "again")])
        while run.poll() is None and parts_in(tmp_path / "again") < files:
            time.sleep(0.001)
        run.kill()
        assert run.wait() == -signal.SIGKILL
    again = prepare("synthetic", None, tmp_path / "again", **SMALL)
    assert again.facts == straight.facts and visible(tmp_path / "again") == ["synthetic"]
    one, two = straight.split("train"), again.split("train")
    assert two.encoded_batch(range(len(two))) == one.encoded_batch(range(len(one)))
    assert one.columns.keys() == two.columns.keys()
    assert all(np.array_equal(one.columns[name], two.columns[name]) for name in one.columns)


def parts_in(folder):
    """How many files' ledgers are there; the hidden folder may go and come again meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return len(list(folder.glob(".*.partial/*.npz")))
    return 0


def test_beam_stores_the_same(tmp_path):
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed")
    one = prepare("faces", None, tmp_path / "one")
    two = prepare("faces", None, tmp_path / "two", beam=["--runner=DirectRunner"])
    assert two.facts == one.facts
    for name in one.splits:
        first, second = one.split(name), two.split(name)
        assert second.encoded_batch(range(len(second))) == first.encoded_batch(range(len(first)))
        assert all(np.array_equal(first.columns[key], second.columns[key]) for key in first.columns)
    drawn = prepare("synthetic", None, tmp_path / "one", **SMALL)
    assert prepare("synthetic", None, tmp_path / "two", beam=[], **SMALL).facts == drawn.facts
    with pytest.raises(UserError, match=r"face0: label 3 is not 0\.\.2"):
        prepare("faces", None, tmp_path / "two", label=3, beam=[])


@pytest.mark.parametrize("media", [b"so odd", "naïve".encode()])
def test_what_beam_has_stored_of_a_text_is_the_text(media):
    stored = SimpleNamespace(
        MEDIA="text", SOUND=False, COLUMNS={}, as_data_source=lambda **_: [{"text": media, "key": b"one", "label": 1}]
    )
    (record,) = with_beam._stored(stored, "train")
    assert (record.key, record.image, record.label) == ("one", media, 1)


def test_without_beam_its_installation_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(UserError, match=r"--beam: Apache Beam is not installed; pip install"):
        prepare("faces", None, tmp_path, beam=[])
    assert visible(tmp_path) == []


@pytest.mark.parametrize("torn", ["dataset_info.json", "origin.json"])
def test_what_a_machine_without_power_left_is_no_obstacle(tmp_path, monkeypatch, torn):
    whole = Faces.records
    monkeypatch.setattr(Faces, "records", interrupt_after(whole, 28))
    with pytest.raises(KeyboardInterrupt):
        prepare("faces", None, tmp_path)
    (path,) = stage(tmp_path).rglob(torn)
    path.write_bytes(path.read_bytes()[:10])
    monkeypatch.setattr(Faces, "records", whole)
    assert prepare("faces", None, tmp_path).splits == {"train": 30, "all": 10}
    assert visible(tmp_path) == ["faces"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write() failed: No space left on device")]
)
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(tfds.core.SequentialWriter, "add_examples", full)
    with pytest.raises(UserError, match=r"no space left on the disk of .*; free some"):
        prepare("faces", None, tmp_path)
    assert visible(tmp_path) == []


def test_of_two_preparations_of_one_source_the_second_waits_and_makes_nothing(tmp_path, monkeypatch, capsys):
    began, go_on, made, whole = Event(), Event(), [], Faces.records

    def slow(self, *span):
        made.append(span)
        began.set()
        assert go_on.wait(20)
        return whole(self, *span)

    monkeypatch.setattr(Faces, "records", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(prepare, "faces", None, tmp_path)
        assert began.wait(20)
        second = pool.submit(prepare, "faces", None, tmp_path)
        while "waiting" not in (said := capsys.readouterr().err):
            time.sleep(0.01)
        go_on.set()
        assert first.result().directory == second.result().directory
    assert said == "faces: another process prepares it; waiting for that\n" and len(made) == 2  # one for each split


def test_two_preparations_of_one_name_lie_next_to_each_other(tmp_path, monkeypatch):
    """Both at the same time, and the first one is not even whole when the second one ends."""
    whole, other = Faces.records, {}

    def interleaved(self, *span):
        if self.options["count"] == COUNT and not other:
            other["set"] = prepare("faces", None, tmp_path, count=33)
        return whole(self, *span)

    monkeypatch.setattr(Faces, "records", interleaved)
    first = prepare("faces", None, tmp_path)
    assert (first.splits["all"], other["set"].splits["all"]) == (10, 3)
    assert len(other["set"].split("all").encoded_batch([0, 1, 2])) == 3
    assert first.identity != other["set"].identity and visible(tmp_path) == ["faces"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 3}, "unknown option size; the options are: count, label, fail"),
        ({"label": 3}, r"face0: label 3 is not 0\.\.2"),
        ({"label": 1}, "every image is of one class, b"),
        ({"count": 30}, "the split all holds no images"),
    ],
)
def test_what_cannot_be_prepared_is_said(tmp_path, options, message):
    with pytest.raises(UserError, match="faces: " + message):
        prepare("faces", None, tmp_path, **options)
    assert visible(tmp_path) == []


def test_names_that_do_not_exist_are_answered_with_those_that_do(tmp_path):
    with pytest.raises(UserError, match=r"no data set 'fer2014'; .*fer2013.*folder"):
        prepare("fer2014", None, tmp_path)
    with pytest.raises(UserError, match="no split 'test'; its splits are: train, all"):
        prepare("faces", None, tmp_path).split("test")
    for name, command in (
        ("fer2013", "expressnet prepare fer2013 --source PATH"),
        ("synthetic", "expressnet prepare synthetic$"),
        ("mine", "expressnet prepare folder --source PATH --name mine"),
    ):
        with pytest.raises(UserError, match=command):
            load(name, tmp_path)


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[200:1200] ^= 255
    path.write_bytes(content.tobytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [(Path.unlink, "its files hold 19 images, not 30"), (halved, "files hold 19 images"), (flipped, "is damaged")],
)
def test_a_lost_or_damaged_file_of_images_is_said(tmp_path, damage, message):
    prepared = prepare("faces", None, tmp_path)
    damage(prepared.directory / "faces-train.array_record-00001")
    split = pickle.loads(pickle.dumps(prepared.split("train").subset(np.arange(20))))
    with pytest.raises(UserError, match=rf"{prepared.directory}.*{message}.*; prepare the data set again"):
        split.encoded_batch(range(20))


def test_damaged_data_is_said(tmp_path):
    directory = prepare("faces", None, tmp_path).directory
    for path in directory.glob("*array_record*"):
        path.unlink()
    with pytest.raises(UserError, match="prepare faces again"):
        load("faces", tmp_path).split("train")
    (directory / "facts.json").write_text("{")
    with pytest.raises(UserError, match=r"facts\.json is damaged"):
        load("faces", tmp_path)
    assert prepare("faces", None, tmp_path).split("train").labels.shape == (30,)


def test_a_data_dir_that_is_a_file_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        prepare("faces", None, tmp_path / "file")


def test_subset_pickle_batch_and_threads_read_the_same(tmp_path):
    train = prepare("faces", None, tmp_path).split("train")
    chosen = np.array([29, 0, 12, 12])
    subset = train.subset(chosen).subset([1, 3, 0])
    expected = [0, 12, 29]
    for split in (subset, pickle.loads(pickle.dumps(subset))):
        assert len(split) == 3
        assert split.indices.tolist() == expected
        assert split.keys.tolist() == [f"face{i}" for i in expected]
        np.testing.assert_array_equal(decode_all(split, None, 3, 1), PIXELS[expected])
        np.testing.assert_array_equal(split.votes, VOTES[expected])
    assert train.encoded_batch([5, 2, 5]) == [train.encoded(i) for i in (5, 2, 5)]
    with ThreadPoolExecutor(8) as pool:
        fresh = pickle.loads(pickle.dumps(train))
        found = list(pool.map(lambda i: decode(fresh.encoded(i % 30), None, 3), range(600)))
    np.testing.assert_array_equal(found, PIXELS[np.arange(600) % 30])


def test_the_data_dir_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPRESSNET_DATA", str(tmp_path))
    assert default_data_dir() == tmp_path
    monkeypatch.delenv("EXPRESSNET_DATA")
    assert default_data_dir().name == "expressnet_data"


def test_facts_are_plain_json(tmp_path):
    prepared = prepare("faces", None, tmp_path)
    assert json.loads((prepared.directory / "facts.json").read_text()) == prepared.facts
