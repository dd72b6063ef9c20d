"""Sound: files against tones known by formula, the official layouts of three data sets, readers and augmentation."""

import sys

import jax
import numpy as np
import pytest

from expressnet_jax.data.augment import augment_batch
from expressnet_jax.data.fields import Field
from expressnet_jax.data.mixing import mix_alike
from expressnet_jax.data.pipeline import StreamedImages, make_eval_batches, make_train_loader
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.sampling import Uniform
from expressnet_jax.data.sound import RATE, fit_length, read_sound, validate_and_encode_sound, voiced_range
from expressnet_jax.data.sound_augment import augment_sound
from expressnet_jax.errors import UserError
from recordings import tone, write_ravdess, write_wav

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def ravdess(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ravdess")
    return prepare("ravdess", write_ravdess(folder / "RAVDESS"), folder / "prepared")


@pytest.mark.parametrize("rate", [RATE, 44_100, 8_000])
def test_a_stereo_file_of_any_rate_is_the_mean_tone_at_16_khz(tmp_path, rate):
    left, right = tone(440, rate=rate), tone(440, rate=rate, loudness=0.1)
    samples = read_sound(write_wav(tmp_path / "a.wav", left, right, rate=rate))
    assert samples.dtype == np.int16 and len(samples) == RATE // 2
    middle = slice(400, -400)  # at the ends a resampler hears silence beyond
    np.testing.assert_allclose(samples[middle] / 32768, tone(440, loudness=0.2)[middle], atol=2e-3)


def test_what_is_no_sound_is_refused_in_a_line(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(b"RIFF but no sound")
    with pytest.raises(UserError, match="no sound that can be decoded"):
        read_sound(tmp_path / "a.wav")
    with pytest.raises(UserError, match="silent throughout"):
        validate_and_encode_sound(np.zeros(100, np.int16))
    monkeypatch.setitem(sys.modules, "soxr", None)
    with pytest.raises(UserError, match=r"sound needs soxr; pip install 'expressnet-jax\[audio\]'"):
        read_sound(write_wav(tmp_path / "b.wav", tone(440)))


def test_the_voiced_part_stands_in_the_middle():
    voice = np.full(4_000, 8_000, np.int16)
    silence = lambda n: np.full(n, 3, np.int16)  # 68 dB below
    sound = np.concatenate([silence(8_000), voice, silence(2_000)])
    assert voiced_range(sound) == (8_000, 12_000)
    fitted = fit_length(sound, 6_000)
    np.testing.assert_array_equal(fitted, np.pad(voice, 1_000))
    np.testing.assert_array_equal(fit_length(sound, 1_000), voice[:1_000])
    ramp = np.arange(1, 8_001, dtype=np.int16)
    first, last = voiced_range(ramp)
    np.testing.assert_array_equal(fit_length(ramp, 2_000), ramp[(first + last) // 2 - 1_000 :][:2_000])


def test_ravdess_has_its_labels_actors_and_action_units(ravdess):
    split = ravdess.split("all")
    assert ravdess.classes == ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
    assert len(split) == 32 and sorted(set(split.subjects)) == ["01", "02", "03", "04"]
    keys = [key.split(".")[0].split("-") for key in split.keys]
    np.testing.assert_array_equal(split.labels, [int(key[2]) - 1 for key in keys])
    np.testing.assert_array_equal(split.subjects, [key[-1] for key in keys])
    np.testing.assert_array_equal(split.columns["openface"].argmax(1), split.labels + 1)
    assert ravdess.facts["notes"]["sample_rate"] == RATE and len(ravdess.facts["notes"]["openface"]) == 35
    assert ravdess.facts["splits"]["all"]["samples"] == [8_000, 8_000]


def test_the_recording_that_ravdess_holds_twice_is_left_out(tmp_path):
    for name in ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07", "03-01-04-01-02-02-07"):
        write_wav(tmp_path / "RAVDESS" / "Actor_07" / f"{name}.wav", tone(300))
    found = prepare("ravdess", tmp_path / "RAVDESS", tmp_path / "prepared")
    assert [key[:20] for key in found.split("all").keys] == ["03-01-03-01-02-01-07", "03-01-04-01-02-02-07"]
    assert found.facts["notes"]["left out"] == {"03-01-03-01-02-02-07.wav": "the same samples as 03-01-03-01-02-01-07"}


def test_cremad_and_emodb_are_read_by_their_names(tmp_path):
    for name in ("1001_DFA_ANG_XX", "1002_IEO_HAP_HI", "1002_IEO_NEU_XX"):
        write_wav(tmp_path / "AudioWAV" / f"{name}.wav", tone(300))
    split = prepare("cremad", tmp_path / "AudioWAV", tmp_path / "prepared").split("all")
    assert [split.classes[label] for label in split.labels] == ["anger", "happiness", "neutral"]
    assert list(split.subjects) == ["1001", "1002", "1002"]
    for name in ("03a01Fa", "08b02Wb", "08b02Lc"):
        write_wav(tmp_path / "wav" / f"{name}.wav", tone(300))
    split = prepare("emodb", tmp_path / "wav", tmp_path / "prepared").split("all")
    assert [split.classes[label] for label in split.labels] == ["happiness", "boredom", "anger"]
    assert list(split.subjects) == ["03", "08", "08"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            lambda folder: write_wav(folder / "Actor_01" / "03-01-09-01-01-01-01.wav", tone(300)),
            "emotion 09 is not one",
        ),
        (lambda folder: write_wav(folder / "copy" / "03-01-01-01-01-01-01.wav", tone(300)), "one recording by their"),
        (lambda folder: (folder / "openface.npz").write_bytes(b"torn"), "no table of action units"),
        (
            lambda folder: (folder / "Actor_01" / "03-01-01-01-01-01-01.wav").write_bytes(b""),
            "01-01.wav: no sound that",
        ),
    ],
)
def test_a_wrong_file_of_ravdess_is_named(tmp_path, change, error):
    folder = write_ravdess(tmp_path / "RAVDESS", actors=1)
    change(folder)
    with pytest.raises(UserError, match=error):
        prepare("ravdess", folder, tmp_path / "prepared")


def test_all_readers_give_the_same_batches_with_columns(ravdess, mesh_of):
    split, columns = ravdess.split("all"), {"openface": ravdess.split("all").columns["openface"]}
    expected = np.stack([fit_length(np.frombuffer(each, "<i2"), 4_000) for each in split.encoded_batch(range(32))])
    np.testing.assert_array_equal(StreamedImages(split, (4_000,))(np.arange(32)), expected)
    for reader in ("stream", "memory", "device"):
        settings = {"shape": (4_000,), "num_steps": 2, "reader": reader, "targets": columns}
        loader = make_train_loader(split, Uniform(32, 16), mesh_of(1), **settings)
        batch = next(loader.start(1))
        index = np.asarray(batch["index"][0])
        found = loader.table[index] if reader == "device" else batch["waveform"][0]
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found, expected[index])
        np.testing.assert_array_equal(batch["openface"][0], columns["openface"][index])
    batches = list(make_eval_batches(split, 24, shape=(4_000,), columns=columns).batches())
    np.testing.assert_array_equal(np.concatenate([each["inputs"]["waveform"] for each in batches])[:32], expected)
    assert batches[1]["inputs"]["openface"].shape == (24, 35) and batches[1]["mask"].sum() == 8


def test_gain_is_in_decibels_and_a_shift_moves_silence_in():
    sound = np.round(tone(440) * 32768).astype(np.int16)[None].repeat(64, 0)
    plain = np.asarray(augment_sound(KEY, sound, {}))
    np.testing.assert_array_equal(plain, sound / np.float32(32768))
    louder = np.asarray(augment_sound(KEY, sound, {"gain": 6.0}))
    decibels = 20 * np.log10(np.abs(louder).max(1) / np.abs(plain).max(1))
    assert -6 <= decibels.min() < -4 and 4 < decibels.max() <= 6
    noisy = np.asarray(augment_sound(KEY, sound, {"noise": 0.01})) - plain
    deviations = noisy.std(1)
    assert 0 <= deviations.min() < 0.002 and 0.008 < deviations.max() < 0.0105
    shifted = np.asarray(augment_sound(KEY, sound, {"time_shift": 0.1}))
    moves = set()
    for before, after in zip(plain, shifted, strict=True):
        move = next(m for m in range(-800, 801) if np.array_equal(after, np.pad(before, 800)[800 - m :][: len(before)]))
        moves.add(move)
    assert min(moves) < -500 and max(moves) > 500


def test_speed_reads_the_recording_faster_or_slower_about_its_middle():
    ramp = np.linspace(0.1, 0.9, 2_001, dtype=np.float32)
    played = np.asarray(augment_sound(KEY, ramp[None].repeat(64, 0), {"speed": 0.1}))
    time, rates = np.arange(2_001) - 1_000, []
    for row in played:
        rates.append((row[1_500] - row[500]) / (ramp[1_500] - ramp[500]))  # the slope of a ramp is its speed
        expected = np.interp(1_000 + rates[-1] * time, np.arange(2_001), ramp)
        heard = np.abs(rates[-1] * time) < 999
        np.testing.assert_allclose(row[heard], expected[heard], atol=1e-4)
        assert not row[np.abs(rates[-1] * time) > 1_001].any()
    assert 0.9 <= min(rates) < 0.92 and 1.08 < max(rates) <= 1.1


def test_the_sound_of_an_image_is_changed_by_numbers_of_its_own():
    ramp = np.tile(np.linspace(0.1, 0.9, 201, dtype=np.float32), (64, 1))
    batch = {"image": np.zeros((64, 8, 8, 1), np.uint8), "waveform": ramp}
    batch["marks"] = np.tile(np.float32([[1.0, 0.0]]), (64, 1, 1))  # its height is how far the image is turned
    fields = {"marks": Field("points", (1, 2))}
    change = jax.jit(lambda batch: augment_batch((KEY, KEY), batch, fields, {"rotate": 10.0, "speed": 0.1}, 0))
    found = jax.device_get(change(batch))
    turns, speeds = found["marks"][:, 0, 1], found["waveform"][:, 120] - found["waveform"][:, 80]
    assert abs(np.corrcoef(turns, speeds)[0, 1]) < 0.5


def test_mixup_gives_all_values_of_an_example_one_weight():
    values = {"waveform": np.eye(8, dtype=np.float32), "expression": np.eye(8, dtype=np.float32)[:, :4]}
    mixed = mix_alike(KEY, values, 1.0)
    np.testing.assert_allclose(mixed["waveform"].sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed["expression"], np.asarray(mixed["waveform"])[:, :4], rtol=1e-6)
    assert (np.asarray(mixed["waveform"]) > 0.05).sum() > 8
    assert mix_alike(KEY, values, 0.0) is values


def test_a_field_of_sound_says_its_rate():
    field = Field("waveform", (8_000,), rate=RATE)
    assert Field.from_json(field.to_json()) == field


def test_class_folders_and_lists_of_recordings_are_a_data_set(tmp_path):
    for word, pitch in (("happy", 400), ("sad", 200)):
        for i in range(2):
            write_wav(tmp_path / "own" / word / f"{i}.wav", tone(pitch + i))
    found = prepare("folder", tmp_path / "own", tmp_path / "prepared")
    split = found.split("all")
    assert found.facts["notes"]["sample_rate"] == RATE
    assert [split.classes[label] for label in split.labels] == ["happiness", "happiness", "sadness", "sadness"]
    stored = np.frombuffer(split.encoded(2), "<i2")
    np.testing.assert_allclose(stored / 32768, tone(200), atol=1e-4)
    (tmp_path / "list.csv").write_text("path,label,subject\nown/happy/0.wav,happy,ann\nown/sad/1.wav,sad,ben\n")
    listed = prepare("folder", tmp_path / "list.csv", tmp_path / "prepared", name="listed").split("all")
    assert list(listed.subjects) == ["ann", "ben"]
    np.testing.assert_array_equal(np.frombuffer(listed.encoded(0), "<i2"), np.frombuffer(split.encoded(0), "<i2"))
