"""Text: a vocabulary by its definition, the official layouts of two data sets, wrong files, inputs of the command."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.cli import main
from expressnet_jax.config import default, set_key
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.fields import Field, target_column
from expressnet_jax.data.labels import BASIC
from expressnet_jax.data.prepare import prepare
from expressnet_jax.data.tokenizer import SPECIAL, encode_texts, train_vocabulary
from expressnet_jax.errors import UserError
from expressnet_jax.training.validate import check_config
from written_texts import WORDS, write_goemotions, write_meld

pytest.importorskip("tokenizers")
SIZE = 1000


@pytest.fixture(scope="module")
def goemotions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("goemotions")
    return prepare(
        "goemotions", write_goemotions(folder / "GoEmotions"), folder / "prepared", length=8, vocabulary=SIZE
    )


def longest_match(word, vocabulary):
    """The pieces of a word from the left, each the longest that is in the vocabulary; unknown where there is none."""
    pieces = []
    while word:
        piece = next((word[:end] for end in range(len(word), 0, -1) if word[:end] in vocabulary), None)
        if piece is None:
            return [SPECIAL[1]]
        pieces.append(piece)
        word = word[len(piece) :]
    return pieces


def test_pieces_are_the_longest_of_the_vocabulary_from_the_left():
    vocabulary = train_vocabulary(list(WORDS.values()) * 3, SIZE)
    assert vocabulary[:2] == SPECIAL == ("[PAD]", "[UNK]") and len(set(vocabulary)) == len(vocabulary) <= SIZE
    assert train_vocabulary(list(WORDS.values()) * 3, SIZE) == vocabulary
    assert "▁hate" in vocabulary and "▁stupid" in vocabulary  # whole words that are frequent
    found = encode_texts(["I HATÉ stupidity!", "漢 so", "", "lovely " * 9], vocabulary, 12)
    words = [["▁i", "▁hate", "▁stupidity", "▁!"], ["▁漢", "▁so"], [], ["▁lovely"] * 9]
    for row, text in zip(found, words, strict=True):
        expected = [vocabulary.index(piece) for word in text for piece in longest_match(word, vocabulary)]
        assert row.tolist() == [*expected, *[0] * (12 - len(expected))]
    np.testing.assert_array_equal(encode_texts(["lovely " * 9], vocabulary, 4), found[3:, :4])


def test_goemotions_has_its_labels_their_shares_and_its_pieces(goemotions):
    train = goemotions.split("train")
    assert goemotions.classes == BASIC and goemotions.splits == {"train": 57, "validation": 15, "test": 15}
    assert goemotions.holds == "text" and goemotions.stored_size("train") is None
    names = [{"joy": "happiness"}.get(name, name) for name in WORDS]
    assert [BASIC[label] for label in train.labels[:7]] == names
    assert train.encoded(3).decode() == f"{WORDS['joy']} 0" and train.keys[3] == "train.tsv row 4"
    last = {"surprise": 1, "disgust": 1}
    np.testing.assert_array_equal(train.columns["emotions"][-1], [last.get(name, 0) for name in BASIC])
    np.testing.assert_array_equal(train.votes, train.columns["emotions"] / train.columns["emotions"].sum(1)[:, None])
    assert BASIC[train.labels[-1]] == "surprise" and train.encoded(56).decode() == "Café, wow and gross"
    field = goemotions.targets["tokens"]
    assert field.shape == (8,) and field.kind == "tokens" and Field.from_json(field.to_json()) == field
    texts = [text.decode() for text in goemotions.split("test").encoded_batch(range(15))]
    stored = target_column("tokens", field, goemotions.split("test").columns)
    assert stored.dtype == np.int32
    np.testing.assert_array_equal(stored, encode_texts(texts, field.names, 8))


def test_meld_has_its_utterances_and_speakers(tmp_path):
    found = prepare("meld", write_meld(tmp_path / "MELD"), tmp_path / "prepared", vocabulary=SIZE)
    split = found.split("validation")
    assert split.encoded(6).decode() == WORDS["surprise"] and split.keys[13] == "dia1_utt3"
    assert [split.subjects[i] for i in (0, 13)] == ["Speaker 0", "Speaker 1"]
    assert split.columns["tokens"].shape == (14, 48) and BASIC[split.labels[3]] == "happiness"


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        (
            "goemotions",
            lambda f: (f / "ekman/dev.tsv").write_text("hello\t7\tid\n"),
            "dev.tsv row 1: not a text, labels",
        ),
        ("goemotions", lambda f: (f / "ekman/test.tsv").write_text(" \t1\tid\n"), "test.tsv row 1: the text is empty"),
        ("goemotions", lambda f: (f / "ekman/labels.txt").write_text("joy\n"), "labels.txt: not the seven labels"),
        (
            "goemotions",
            lambda f: (f / "ekman/labels.txt").unlink(),
            "no train.tsv, dev.tsv, test.tsv with emotions.txt and ekman_mapping.json, or labels.txt, in",
        ),
        ("meld", lambda f: (f / "dev_sent_emo.csv").write_text("Utterance,Emotion\n"), "has no column Speaker"),
        (
            "meld",
            lambda f: (f / "test_sent_emo.csv").write_text(
                "Utterance,Emotion,Speaker,Dialogue_ID,Utterance_ID\nhi,calm,A,0,0\n"
            ),
            "test_sent_emo.csv row 2: emotion 'calm' is not one",
        ),
    ],
)
def test_a_wrong_file_of_texts_is_named(tmp_path, name, change, error):
    folder = {"goemotions": write_goemotions, "meld": write_meld}[name](tmp_path / "source")
    change(folder)
    with pytest.raises(UserError, match=error):
        prepare(name, folder, tmp_path / "prepared", vocabulary=SIZE)


def test_wrong_options_and_a_missing_package_are_named(tmp_path, monkeypatch):
    source = write_meld(tmp_path / "MELD")
    for options, error in (({"length": 0}, "length is 0; from 1 to 512"), ({"vocabulary": 50}, "vocabulary: 50; at")):
        with pytest.raises(UserError, match=error):
            prepare("meld", source, tmp_path / "prepared", **options)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"text needs tokenizers; pip install 'expressnet-jax\[text\]'"):
        prepare("meld", source, tmp_path / "prepared")


def test_what_is_of_images_is_refused_for_text(goemotions, monkeypatch, capsys):
    monkeypatch.setenv("EXPRESSNET_DATA", str(goemotions.directory.parents[2]))
    assert main(["show", "goemotions", "--output", "x.png"]) == 2
    assert "goemotions: holds text; this command looks at images" in capsys.readouterr().err
    config = default()
    set_key(config, "model.name", "text_cnn")
    set_key(config, "augment.mixup", 0.2)
    with pytest.raises(UserError, match=r"augment\.mixup: there is nothing between two texts"):
        check_config(config)


def test_a_baseline_of_text_knows_words_that_it_has_seen(goemotions, tmp_path, capsys):
    pytest.importorskip("sklearn")
    command = ["baseline", "goemotions", "--data_dir", str(goemotions.directory.parents[2])]
    assert main([*command, "--split", "test", "--json", str(tmp_path / "figures.json")]) == 0
    assert "tfidf + logistic, cost=" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert row["accuracy"] >= 14 / 15 and set(row["held_out_macro_f1"]) == {"0.3", "1", "3"}
    pairs = {pair for text in WORDS.values() for pair in zip(text.split(), text.split()[1:], strict=False)}
    assert row["dimensions"] > len(pairs)
    assert main([*command, "--split", "train"]) == 2
    assert "a baseline needs the split train, and another one to be judged on" in capsys.readouterr().err


def test_utterances_are_paired_with_faces_of_their_label_or_shuffled_as_a_control(tmp_path):
    for split, count in (("train", 3), ("validation", 2)):
        for label, name in enumerate(BASIC):
            folder = tmp_path / "faces" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("L", (16, 16), 30 * label + i + 1).save(folder / f"{i}.png")
    prepare("folder", tmp_path / "faces", tmp_path / "data", name="seven")
    source, options = write_meld(tmp_path / "MELD"), {"faces": str(tmp_path / "data/seven"), "vocabulary": SIZE}
    found = prepare("meld_faces", source, tmp_path / "data", **options)
    assert found.holds == "images" and list(found.splits) == ["train", "validation"]
    train = found.split("train")
    grays = decode_all(train, None, 1)[:, 0, 0, 0].astype(int)
    np.testing.assert_array_equal((grays - 1) // 30, train.labels)
    assert all(sorted(np.bincount((grays - 1)[train.labels == label] % 30)) == [2, 3, 3] for label in range(7))
    said = [WORDS[{"happiness": "joy"}.get(name, name)] for name in BASIC]
    expected = encode_texts(said, found.targets["tokens"].names, 48)
    np.testing.assert_array_equal(train.columns["tokens"], expected[train.labels])
    shuffled = prepare("meld_faces", source, tmp_path / "other", **options, pairing="shuffled").split("train")
    drawn = decode_all(shuffled, None, 1)[:, 0, 0, 0].astype(int)
    assert sorted(drawn) == sorted(grays) and 0 < ((drawn - 1) // 30 == shuffled.labels).mean() < 0.5
    with pytest.raises(UserError, match="pairing is 'any', not one of label, shuffled"):
        prepare("meld_faces", source, tmp_path / "other", **options, pairing="any")
