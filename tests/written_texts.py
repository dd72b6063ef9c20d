"""Texts in the layouts of data sets."""

from pathlib import Path

WORDS = {
    "anger": "i hate this stupid rule",
    "disgust": "that is gross and nasty",
    "fear": "i am scared of the dark",
    "joy": "what a lovely happy day",
    "neutral": "the bus leaves at noon",
    "sadness": "i miss my old friend so much",
    "surprise": "wow, i did not expect that!",
}
COUNTS = {"train": 8, "dev": 2, "test": 2}


def write_goemotions(folder: Path) -> Path:
    """Each text several times in each split, with a number; the last row of a split has two labels."""
    (folder / "ekman").mkdir(parents=True)
    names = list(WORDS)
    (folder / "ekman" / "labels.txt").write_text("\n".join(names) + "\n")
    for split, count in COUNTS.items():
        rows = [f"{WORDS[name]} {i}\t{names.index(name)}\tid{i}" for i in range(count) for name in names]
        rows.append(f"Café, wow and gross\t{names.index('surprise')},{names.index('disgust')}\tlast")
        (folder / "ekman" / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def write_meld(folder: Path) -> Path:
    """Each text several times in each split, by one of two speakers."""
    folder.mkdir(parents=True)
    head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
    for split, count in COUNTS.items():
        rows = [f'{i},"{WORDS[name]}",Speaker {i % 2},{name},neutral,{i},3\n' for i in range(count) for name in WORDS]
        (folder / f"{split}_sent_emo.csv").write_text(head + "".join(rows))
    return folder
