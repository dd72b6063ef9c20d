"""Texts as their authors hand them out, read without the package that cuts them into pieces."""

import json

import numpy as np
import pytest

from expressnet_jax.data.datasets import builder_class
from expressnet_jax.data.datasets.votes import read_votes
from expressnet_jax.data.labels import BASIC, FERPLUS_COLUMNS
from expressnet_jax.errors import UserError


def read(name, source):
    return builder_class(name)(data_dir=source / "unused", source=source).read_texts(source)


def test_goemotions_gathers_the_labels_of_its_authors_as_ekman_has_them(tmp_path):
    """Their files hold 28 labels and say which of them belong together."""
    groups = {"anger": ["anger", "annoyance"], "joy": ["joy", "approval", "desire"], "surprise": ["surprise"]}
    names, rows = ["annoyance", "approval", "desire", "neutral", "surprise"], ["4,2", "3,1", "1,2", "0", "3"]
    for split in ("train", "dev", "test"):
        texts = [f"text {i} of {split}\t{labels}\tid{i}\n" for i, labels in enumerate(rows)]
        (tmp_path / f"{split}.tsv").write_text("".join(texts))
    (tmp_path / "emotions.txt").write_text("\n".join(names))
    (tmp_path / "ekman_mapping.json").write_text(json.dumps(groups))
    found = read("goemotions", tmp_path)["validation"]
    assert [BASIC[each.label] for each in found] == ["happiness", "happiness", "happiness", "anger", "neutral"]
    shares = [{"happiness": 0.5, "surprise": 0.5}, {"happiness": 0.5, "neutral": 0.5}, {"happiness": 1}]
    expected = [[each.get(name, 0) for name in BASIC] for each in shares]
    np.testing.assert_array_equal([each.votes for each in found[:3]], expected)
    (tmp_path / "emotions.txt").write_text("annoyance\nboredom\n")
    with pytest.raises(UserError, match=r"ekman_mapping\.json does not gather all of emotions\.txt"):
        read("goemotions", tmp_path)


def test_a_quote_that_is_never_closed_is_named(tmp_path):
    head = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\nhello,A,joy,0,0\n"
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}_sent_emo.csv").write_text(head)
    torn = tmp_path / "dev_sent_emo.csv"
    torn.write_text(head + '"torn, ' + "word, " * 30_000)
    with pytest.raises(UserError, match=r"meld: .*dev_sent_emo\.csv: torn \(field larger .*fetch the file again"):
        read("meld", tmp_path)
    (tmp_path / "fer2013new.csv").write_text(",".join(("Usage", *FERPLUS_COLUMNS)) + '\n"Training,' + "0," * 70_000)
    with pytest.raises(UserError, match=r"fer2013new\.csv: torn \(field larger"):
        read_votes(tmp_path / "fer2013new.csv")
