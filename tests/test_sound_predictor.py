"""Prediction of recordings: stretches, a missing input, the command's table, JSON and CSV; settings that don't fit."""

import csv
import json

import jax
import numpy as np
import pytest

from expressnet_jax.cli import main
from expressnet_jax.config import default, set_key
from expressnet_jax.data.fields import Field
from expressnet_jax.data.sound import RATE, fit_length
from expressnet_jax.errors import UserError
from expressnet_jax.export.onnx_export import export_onnx
from expressnet_jax.inference.predictor import Predictor
from expressnet_jax.inference.sound_predictor import SoundPredictor
from expressnet_jax.models.network import Head, zero_inputs
from expressnet_jax.models.registry import create_model
from expressnet_jax.training.checkpoints.reading import Checkpoint, describe
from expressnet_jax.training.validate import check_config
from recordings import tone, write_wav
from videos_with_sound import write_video

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
CLASSES = ("anger", "calm", "joy")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network of a second of sound and of three values that may be missing, with two classes, as ONNX."""
    encoders = {"values": {"name": "vector_mlp", "widths": (4,)}}
    outputs = {"expression": Field("class", (3,), CLASSES), "strength": Field("class", (2,), ("weak", "strong"))}
    heads = {name: Head(field.shape) for name, field in outputs.items()}
    network = create_model("audio_cnn", heads, encoders=encoders, modality_dropout=0.2, widths=(4, 8))
    inputs = {"waveform": Field("waveform", (RATE,), rate=RATE), "values": Field("vector", (3,))}
    shape = {name: field.shape for name, field in inputs.items()}
    variables = jax.jit(lambda: network.init(jax.random.key(0), zero_inputs(shape)))()
    metadata = describe(default().to_dict(), CLASSES, shape, model=network, outputs=outputs, inputs=inputs)
    path = tmp_path_factory.mktemp("model") / "audio.onnx"
    export_onnx(Checkpoint(path, 0, network, variables, metadata), path)
    return path


def test_a_short_recording_is_one_stretch_as_training_sees_it(model, tmp_path):
    predictor = SoundPredictor(model, threads=1)
    sound = np.concatenate([np.zeros(RATE, np.int16), np.round(32768 * tone(300)).astype(np.int16)])
    (stretch,) = predictor(sound)
    assert (stretch.start, stretch.end) == (1.0, 1.5)
    expected = predictor.model({"waveform": fit_length(sound, RATE)[None]})[0]
    np.testing.assert_allclose(list(stretch.probabilities.values()), expected, atol=1e-6)
    assert stretch.label == CLASSES[expected.argmax()] and stretch.confidence == pytest.approx(expected.max())
    from_file = predictor(write_wav(tmp_path / "a.wav", sound / 32768))
    assert from_file[0].probabilities == pytest.approx(stretch.probabilities, abs=1e-3)


def test_a_long_recording_is_stretches_that_overlap_by_half(model):
    found = SoundPredictor(model, threads=1)(np.round(32768 * tone(300, 2.75)).astype(np.int16))
    assert [(stretch.start, stretch.end) for stretch in found] == [
        (0, 1),
        (0.5, 1.5),
        (1.0, 2.0),
        (1.5, 2.5),
        (1.75, 2.75),
    ]


def test_the_command_writes_a_table_json_and_csv(model, tmp_path, capsys):
    paths = [str(write_wav(tmp_path / f"{name}.wav", tone(300, seconds))) for name, seconds in (("a", 0.5), ("b", 2))]
    torn = tmp_path / "torn.wav"
    torn.write_bytes((tmp_path / "a.wav").read_bytes()[:20])
    assert main(["predict", *paths, "--model", str(model)]) == 0
    out, err = capsys.readouterr()
    assert "the model takes values, too; without, it answers by waveform alone" in err
    assert f"{paths[0]}: 1 stretch\n" in out and f"{paths[1]}: 3 stretches\n" in out
    given = ["predict", *paths, str(torn), "--model", str(model), "--json", "--csv", str(tmp_path / "out.csv")]
    assert main(given) == 2
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [len(line["stretches"]) for line in lines] == [1, 3] and lines[1]["sound"] == paths[1]
    assert f"error: {torn}: no sound that can be decoded" in err
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["sound"] for row in rows] == [paths[0], *[paths[1]] * 3]
    for row, stretch in zip(rows, [s for line in lines for s in line["stretches"]], strict=True):
        assert row["label"] == stretch["label"] and float(row["start"]) == stretch["start"]
        assert {name: float(row[name]) for name in CLASSES} == stretch["probabilities"]
        assert {name: float(row[f"strength_{name}"]) for name in ("weak", "strong")} == stretch["outputs"]["strength"]
    assert main(["predict", paths[0], "--model", str(model), "--output", "strength", "--json"]) == 0
    (other,) = json.loads(capsys.readouterr().out)["stretches"]
    assert other["probabilities"] == pytest.approx(lines[0]["stretches"][0]["outputs"]["strength"], abs=1e-4)
    assert main(["predict", paths[0], "--model", str(model), "--output", "age"]) == 2
    assert "has no class 'age'; one of expression, strength" in capsys.readouterr().err


def test_the_sound_of_a_video_is_predicted_and_a_video_without_sound_is_named(model, tmp_path, capsys):
    pytest.importorskip("av")
    loud = tone(300, 1.0, rate=44_100)
    talk = str(write_video(tmp_path / "talk.mp4", loud, loud))
    mute = str(write_video(tmp_path / "mute.mp4"))
    assert main(["predict", talk, mute, "--model", str(model), "--json"]) == 2
    out, err = capsys.readouterr()
    (found,) = [json.loads(line) for line in out.splitlines()]
    samples = np.round(32768 * tone(300, 1.0)).astype(np.int16)
    expected = SoundPredictor(model, threads=1)(samples)[0].probabilities
    assert found["sound"] == talk and found["stretches"][0]["probabilities"] == pytest.approx(expected, abs=0.02)
    assert f"error: {mute}: the video has no sound track" in err


def test_a_model_of_something_else_is_refused(model, tmp_path, capsys):
    recording = str(write_wav(tmp_path / "a.wav", tone(300)))
    assert main(["predict", recording]) == 2
    assert "model: small takes no sound" in capsys.readouterr().err
    assert main(["predict", recording, "--model", str(model), "--save", str(tmp_path / "x")]) == 2
    assert "--save is for images and videos" in capsys.readouterr().err
    with pytest.raises(UserError, match="takes waveform and values, not images of faces"):
        Predictor(model)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"augment.flip": 0.5}, "augment.flip: changes images, but the network takes waveform"),
        ({"model.name": "plain_cnn", "augment.gain": 3.0}, "augment.gain: changes sound, but the network takes image"),
        ({"eval.tta": "flip"}, "eval.tta: flip is of images"),
        ({"data.seconds": 0.1}, "data.seconds: 0.1; from 0.25 to 60 seconds of sound"),
        ({"data.inputs": ("clip", "image")}, "data.inputs: clip and image; a record is an image or a clip"),
        (
            {"data.inputs": ("image", "waveform"), "model.name": "plain_cnn"},
            "model.encoders: none, but data.inputs are",
        ),
        ({"data.inputs": ("waveform", "openface")}, "model.encoders: none, but data.inputs are waveform, openface"),
        ({"model.options.fusion": "gated"}, "model.options: fusion is set by model.fusion"),
    ],
)
def test_settings_that_do_not_fit_sound_are_named_before_anything_is_read(settings, error):
    config = default()
    for key, value in ({"model.name": "audio_cnn"} | settings).items():
        set_key(config, key, value)
    with pytest.raises(UserError, match=error.replace(".", r"\.")):
        check_config(config)
