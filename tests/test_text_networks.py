"""Networks of text: their formulas in NumPy, padding, a run, its ONNX file, and prediction from raw text."""

import csv
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from expressnet_jax.cli import main
from expressnet_jax.config import default, set_key
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from expressnet_jax.export.onnx_export import export_onnx
from expressnet_jax.inference.text_predictor import TextPredictor
from expressnet_jax.models.text import TextCNN, TextGRU, WordEmbedding
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from expressnet_jax.training.classification import build_experiment, run_summary
from expressnet_jax.training.loop import train
from expressnet_jax.training.train_data import load_data
from weights import drawn_weights
from written_texts import WORDS, write_goemotions

TOKENS = np.array([[5, 3, 9, 2, 0, 0], [7, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6], [0] * 6], np.int32)
LENGTHS = (TOKENS > 0).sum(1)
SMALL = {"vocabulary": 10, "embedding": 3}
sigmoid = lambda x: 1 / (1 + np.exp(-x))


def drawn(model):
    return drawn_weights(model, TOKENS.shape)


def test_text_cnn_is_the_largest_response_of_each_filter_at_any_piece():
    model = TextCNN(**SMALL, widths=(2, 3), filters=4)
    variables = drawn(model)
    p = variables["params"]
    found = model.apply(variables, TOKENS)
    for row, (tokens, length) in enumerate(zip(TOKENS, LENGTHS, strict=True)):
        text = np.concatenate([p["embedding"]["table"][tokens[:length]], np.zeros((2, 3))])
        expected = []
        for width in (2, 3):
            kernel = p[f"conv_{width}"]["kernel"].reshape(width, 3, 4)
            responses = [
                np.einsum("we,wef->f", text[start : start + width], kernel) + p[f"conv_{width}"]["bias"]
                for start in range(length)
            ]
            expected.append(np.max([np.zeros(4), *responses], axis=0))
        np.testing.assert_allclose(found[row], np.concatenate(expected), rtol=1e-5, atol=1e-6)


def gru(p, x):
    """The states of a GRU that reads float[n,E] (Cho et al. 2014, the reset gate after the recurrent product)."""
    state, states = np.zeros(p["hn"]["kernel"].shape[0]), []
    for each in x:
        enters = {gate: each @ p[f"i{gate}"]["kernel"] + p[f"i{gate}"]["bias"] for gate in "rzn"}
        recurs = {gate: state @ p[f"h{gate}"]["kernel"] for gate in "rzn"}
        reset, keep = (sigmoid(enters[gate] + recurs[gate]) for gate in "rz")
        new = np.tanh(enters["n"] + reset * (recurs["n"] + p["hn"]["bias"]))
        state = (1 - keep) * new + keep * state
        states.append(state)
    return np.array(states)


def test_text_gru_reads_both_ways_and_attends_to_the_text_alone():
    model = TextGRU(**SMALL, hidden=4)
    variables = drawn(model)
    p = variables["params"]
    found = np.asarray(jax.jit(model.apply)(variables, TOKENS.astype(np.float32)))
    for row, (tokens, length) in enumerate(zip(TOKENS[:3], LENGTHS[:3], strict=True)):
        x = p["embedding"]["table"][tokens[:length]]
        states = np.concatenate([gru(p["forward"], x), gru(p["backward"], x[::-1])[::-1]], axis=1)
        weight = np.exp(states @ p["pool"]["query"])
        np.testing.assert_allclose(found[row], (weight / weight.sum()) @ states, rtol=1e-4, atol=1e-5)
    train = lambda tokens: model.apply(variables, tokens, True, rngs={"dropout": jax.random.key(0)})
    scanned = jax.jit(train)(TOKENS)
    np.testing.assert_allclose(scanned[:3], found[:3], rtol=1e-4, atol=1e-5)
    assert np.isfinite(found).all() and np.isfinite(scanned).all()  # of a text without any piece as well


@pytest.mark.parametrize("model", [TextCNN(**SMALL, filters=4), TextGRU(**SMALL, hidden=4)], ids=["cnn", "gru"])
def test_more_padding_changes_nothing(model):
    variables = drawn(model)
    longer = np.pad(TOKENS, ((0, 0), (0, 3)))
    found, padded = (jax.jit(model.apply)(variables, tokens)[:3] for tokens in (TOKENS, longer))
    np.testing.assert_allclose(found, padded, rtol=1e-5, atol=1e-6)


def test_word_dropout_makes_words_unknown_and_leaves_padding():
    model = WordEmbedding(10, 2, word_dropout=0.3)
    table = {"params": {"table": jnp.stack([jnp.arange(10.0)] * 2, 1)}}
    tokens = np.tile(np.array([7, 7, 7, 7, 0], np.int32), (2000, 1))
    x, present = model.apply(table, tokens, True, rngs={"dropout": jax.random.key(0)})
    assert set(np.unique(x[:, :4])) == {1.0, 7.0} and not x[:, 4].any() and not present[:, 4].any()
    assert abs((np.asarray(x[:, :4, 0]) == 1).mean() - 0.3) < 0.02


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a small network on generated texts that is exported: its workdir."""
    pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("text")
    prepare("goemotions", write_goemotions(folder / "GoEmotions"), folder / "prepared", length=8, vocabulary=1000)
    config = default()
    settings = {"model.name": "text_cnn", "data.name": "goemotions", "data.dir": str(folder / "prepared")}
    settings |= {"train.batch_size": 16, "train.epochs": 20.0, "eval.every_epochs": 20.0}
    settings |= {"optimizer.name": "adamw", "optimizer.learning_rate": 0.01, "losses.expression.soft_targets": "votes"}
    options = {"vocabulary": 1000, "embedding": 8, "filters": 8, "word_dropout": 0.1, "embedding_dropout": 0.1}
    for key, value in (settings | {f"model.options.{name}": value for name, value in options.items()}).items():
        set_key(config, key, value)
    config.losses.emotions = {"loss": "binary_cross_entropy"}
    train(config, folder / "run", build_experiment)
    export_onnx(load_checkpoint(folder / "run"), folder / "run" / "model.onnx")
    return folder / "run"


def test_a_run_learns_and_its_file_answers_raw_text(run, monkeypatch, capsys, tmp_path):
    figures = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    for name in ("accuracy", "weighted_f1", "emotions/auc"):
        assert figures[name] > 0.7
    predictor = TextPredictor(run / "model.onnx", threads=1)
    answers = predictor(list(WORDS.values()))
    assert [answer.label for answer in answers] == [{"joy": "happiness"}.get(name, name) for name in WORDS]
    assert set(answers[0].outputs["emotions"]) == set(predictor.classes) and predictor([]) == []
    lines = tmp_path / "lines.txt"
    lines.write_text(f"{WORDS['fear']}\n\n{WORDS['joy']}\n", encoding="utf-8")
    model = ["--model", str(run / "model.onnx")]
    assert main(["predict", str(lines), WORDS["anger"], *model]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["fear", "happiness", "anger"]
    assert printed[2].endswith(WORDS["anger"])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{WORDS['joy']}\n"))
    assert main(["predict", "-", str(lines), *model, "--json", "--csv", str(tmp_path / "out.csv")]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["label"] for each in found] == ["happiness", "fear", "happiness"]
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [(row["source"], row["line"]) for row in rows] == [
        ("standard input", "1"),
        (str(lines), "1"),
        (str(lines), "3"),
    ]
    assert {name: float(rows[0][name]) for name in predictor.classes} == found[0]["probabilities"]
    assert {name: float(rows[0][f"emotions_{name}"]) for name in predictor.classes} == found[0]["outputs"]["emotions"]
    assert main(["predict", "hello", *model, "--output", "emotions"]) == 2
    assert "has no class 'emotions'; one of expression" in capsys.readouterr().err


def test_the_log_speaks_of_texts_and_texts_of_another_vocabulary_are_refused(run, capsys, tmp_path):
    config = ConfigDict(load_checkpoint(run).metadata["config"])
    assert " training texts, " in run_summary(config, load_data(config), {})[0]
    (train_list,) = write_goemotions(tmp_path / "GoEmotions").rglob("train.tsv")
    train_list.write_text(train_list.read_text(encoding="utf-8").replace("hate", "loathe"), encoding="utf-8")
    prepare("goemotions", tmp_path / "GoEmotions", tmp_path / "other", length=8, vocabulary=1000)
    assert (
        main(["evaluate", "--checkpoint", str(run), "--data", "goemotions", "--data_dir", str(tmp_path / "other")]) == 2
    )
    assert "tokens: the data set was prepared with another vocabulary" in capsys.readouterr().err


def test_what_is_no_text_is_named_and_the_rest_is_predicted(run, monkeypatch, capsys, tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    model = ["--model", str(run / "model.onnx")]
    assert main(["predict", str(tmp_path / "image.png"), str(tmp_path / "no.txt"), WORDS["joy"], *model]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("happiness") and "a file of kind image, and the model takes text" in err
    assert f"error: {tmp_path / 'no.txt'}: no such file" in err
    monkeypatch.setattr("sys.stdin", io.StringIO("caf\udce9 nice"))  # as Python passes on bytes of another encoding
    assert main(["predict", "-", "d\udce9j\xe0 vu", WORDS["joy"], *model]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("happiness") and err.count(": can't be read as UTF-8; convert it first") == 2
    assert main(["predict", "hello", *model, "--save", str(tmp_path / "x")]) == 2
    assert "--save is for images and videos; texts are written with --csv or --json" in capsys.readouterr().err
    with pytest.raises(UserError, match="model: small takes no text"):
        TextPredictor("small")
    report = ["report", *model, "--data", "goemotions", "--output", str(tmp_path / "r"), "--sections", "figures"]
    assert main([*report, "--data_dir", str(run.parent / "prepared")]) == 2
    assert "takes no images; a report is about models of single images" in capsys.readouterr().err


def test_a_vocabulary_that_does_not_fit_is_named_before_anything_compiles(run):
    config = default()
    config.update_from_flattened_dict({"model.name": "text_gru", "data.name": "goemotions"})
    config.update_from_flattened_dict({"data.dir": str(run.parent / "prepared"), "train.batch_size": 16})
    set_key(config, "model.options.vocabulary", 20)
    with pytest.raises(
        UserError, match=r"model\.options\.vocabulary: 20, but tokens has \d+ different pieces; use \d+"
    ):
        build_experiment(config, None)
