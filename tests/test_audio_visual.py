"""Networks of clips and their sound: what a data set of videos holds, training, and what prediction hears."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from clip_models import CLIP, write_clip_model
from expressnet_jax.cli import main
from expressnet_jax.config import default
from expressnet_jax.data.pipeline import make_eval_batches, make_train_loader
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.sampling import Uniform
from expressnet_jax.data.sound import RATE, fit_length
from expressnet_jax.data.sound_augment import augment_sound
from expressnet_jax.errors import UserError
from expressnet_jax.inference import sound_windows
from expressnet_jax.inference.clip_predictor import ClipPredictor
from expressnet_jax.models.fusion import without_missing
from recordings import tone
from videos_with_sound import write_video

pytest.importorskip("av")
pytest.importorskip("soxr")
SOUND = RATE // 2


def loud_and_louder(seconds, rate=44_100):
    """A tone that grows: its power says when it was heard."""
    sound = tone(300, seconds, rate)
    return sound * np.linspace(0.1, 1, len(sound))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Class folders of four videos, of which one is mute."""
    folder = tmp_path_factory.mktemp("videos")
    for word, names in (("happy", "ab"), ("sad", "cd")):
        (folder / word).mkdir()
        for name in names:
            channels = [] if name == "d" else [loud_and_louder(1.0)] * 2
            write_video(folder / word / f"{name}.mp4", *channels)
    return folder


@pytest.fixture(scope="module")
def prepared(videos, tmp_path_factory):
    options = {"name": "talks", "frames": 4, "size": 16, "sound": True}
    return prepare("folder", videos, tmp_path_factory.mktemp("data"), **options)


def test_a_data_set_of_videos_holds_the_sound_of_each_clip_and_nothing_of_a_mute_one(prepared, videos):
    split = prepared.split("all")
    heard = [np.frombuffer(each, "<i2") for each in split.encoded_batch(range(4), "waveform")]
    assert prepared.with_sound and prepared.holds == "images" and [len(each) > 0 for each in heard] == [1, 1, 1, 0]
    expected = np.interp(np.arange(RATE) / RATE, np.arange(44_100) / 44_100, loud_and_louder(1.0))
    both = min(len(heard[0]), RATE)
    assert both > 0.95 * RATE and np.abs(heard[0][:both] / 32768 - expected[:both])[200:-200].max() < 0.02  # AAC
    batches = make_eval_batches(split, 4, shape=CLIP, sound=SOUND)
    (batch,) = batches.batches()
    assert batch["inputs"]["clip"].shape == (4, *CLIP) and batch["inputs"]["waveform"].dtype == np.int16
    np.testing.assert_array_equal(batch["inputs"]["waveform"][0], fit_length(heard[0], SOUND))
    assert not batch["inputs"]["waveform"][3].any()


@pytest.mark.parametrize("reader", ["stream", "memory", "device"])
def test_all_readers_give_the_same_sound_with_the_clips(reader, prepared, mesh_of):
    split, mesh = prepared.split("all"), mesh_of(1)
    loader = make_train_loader(split, Uniform(4, 2, 0), mesh, shape=CLIP, num_steps=2, reader=reader, sound=SOUND)
    (whole,) = make_eval_batches(split, 4, shape=CLIP, sound=SOUND).batches()
    for batch in loader.start(0):
        expected = whole["inputs"]["waveform"][np.asarray(batch["index"])]
        np.testing.assert_array_equal(batch["waveform"], expected)


def test_a_stretch_that_is_taken_of_a_video_is_heard_and_images_have_no_sound(videos, tmp_path):
    options = {"frames": 3, "size": 16, "sampling": "strided", "stride": 1, "sound": True}
    split = prepare("folder", videos, tmp_path / "data", name="short", **options).split("all")
    assert {len(each) for each in split.encoded_batch(range(3), "waveform")} == {2 * round(0.3 * RATE)}  # bytes
    for word in ("happy", "sad"):
        (tmp_path / "faces" / word).mkdir(parents=True)
        from PIL import Image

        Image.new("L", (16, 16)).save(tmp_path / "faces" / word / "a.png")
    with pytest.raises(UserError, match="sound: is of videos, but the source holds none"):
        prepare("folder", tmp_path / "faces", tmp_path / "data", name="faces", sound=True)


def test_silence_is_a_missing_sound():
    sound = np.array([[0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [0.1, np.nan, 0.2]], np.float32)
    shown, there = without_missing({"waveform": jnp.asarray(sound), "values": jnp.zeros((3, 2))})
    assert there["waveform"].tolist() == [True, False, False] and there["values"].all()
    np.testing.assert_array_equal(shown["waveform"], np.nan_to_num(sound))
    noisy = np.asarray(augment_sound(jax.random.key(0), jnp.asarray(sound[:2]), {"noise": 0.5}))
    assert (noisy[0] != sound[0]).all() and not noisy[1].any()


def probabilities(video, frames, sound):
    """What the model of tests says of four frames of a video, by OpenCV, and of samples in -1..1."""
    capture, colours = cv2.VideoCapture(str(video)), []
    while (read := capture.read())[0]:
        colours.append(read[1][..., ::-1].mean((0, 1)))
    weights = np.random.default_rng(0).normal(0, 0.05, (12, 3)).astype(np.float32)
    logits = np.array(colours)[frames].ravel() @ weights + np.square(sound).mean() * np.array([40, 0, -40])
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


def test_the_sound_of_a_window_is_that_of_its_time(tmp_path):
    model = write_clip_model(tmp_path / "av.onnx", rate=5.0, sound=SOUND)
    talk = write_video(tmp_path / "talk.mp4", *[loud_and_louder(3.0)] * 2, frames=30)
    found = ClipPredictor(model, detector="none", threads=1)(talk)
    assert [(round(each.start, 3), round(each.end, 3)) for each in found[:2]] == [(0.2, 0.8), (0.6, 1.2)]
    whole = np.interp(np.arange(3 * RATE) / RATE, np.arange(3 * 44_100) / 44_100, loud_and_louder(3.0))
    for each in found:
        first, last = round(each.start * RATE), round((each.end + 0.2) * RATE)
        heard = fit_length(np.round(32768 * whole[first:last]).astype(np.int16), SOUND) / 32768
        expected = probabilities(talk, [round(10 * each.start) + 2 * i for i in range(4)], heard)
        np.testing.assert_allclose(list(each.probabilities.values()), expected, atol=0.01)
    mute = write_video(tmp_path / "mute.mp4")
    (only,) = ClipPredictor(model, detector="none", threads=1)(mute)
    expected = probabilities(mute, [2, 4, 6, 8], np.zeros(SOUND))
    np.testing.assert_allclose(list(only.probabilities.values()), expected, atol=1e-3)


def test_a_video_without_the_sound_that_a_network_needs_is_named(tmp_path, capsys):
    model = write_clip_model(tmp_path / "av.onnx", rate=5.0, sound=SOUND, missing=False)
    mute = write_video(tmp_path / "mute.mp4")
    assert main(["predict", str(mute), "--model", str(model), "--detector", "none"]) == 2
    assert f"error: {mute}: the video has no sound track, which the model needs" in capsys.readouterr().err


def test_few_seconds_of_the_sound_are_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(sound_windows, "_PATIENCE", 1.0)
    video = write_video(tmp_path / "long.mp4", *[loud_and_louder(9.0)] * 2, frames=2)
    sound = sound_windows.SoundWindows(video)
    for start in range(8):
        assert sound.window(start, start + 1, SOUND).any()
        assert len(sound._kept) < 2.2 * RATE
    sound.close()


def test_a_run_asks_for_sound_that_a_data_set_does_not_hold(prepared, videos):
    from expressnet_jax.training.train_data import load_data

    folder = prepared.directory.parents[2]
    prepare("folder", videos, folder, name="mute", frames=4, size=16)
    config = default()
    config.data.update(name="mute", dir=str(folder), frames=4, size=16, channels=3, inputs=("clip", "waveform"))
    with pytest.raises(UserError, match="mute holds no sound next to its images; prepare a data set of videos"):
        load_data(config)
    config.data.update(name="talks", holdout=0.5)
    assert len(load_data(config).chosen.train) == 2
