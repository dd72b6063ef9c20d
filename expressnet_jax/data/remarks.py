"""What a preparation did with a source that its owner should know, as notes in facts.json and as lines to print."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expressnet_jax.data.media_files import MediaListing, describe_left_out, name_some
from expressnet_jax.errors import printable

LEFT_OUT, LITTER, MERGED, KEPT_APART = "left out", "litter", "merged labels", "labels kept apart"  # keys of the notes
_CHOOSE = "--option labels=own (in training: --config.data.options.labels=own)"


def note_found(notes: dict[str, Any], found: MediaListing, root: Path) -> None:
    """Add to the notes what was found below `root` and was left out."""
    if found.left_out:
        named = {printable(path.relative_to(root)): reason for path, reason in found.left_out.items()}
        notes[LEFT_OUT] = notes.get(LEFT_OUT, {}) | named
    if found.litter:
        notes[LITTER] = notes.get(LITTER, 0) + found.litter


def remarks(name: str, notes: Mapping[str, Any], choose: str = _CHOOSE) -> list[str]:
    """Return the lines that say so; `choose` is how every label becomes its own class."""
    lines = [
        f"{name}: {_listed(words)} are both read as {meaning}; {choose} keeps each as its own class"
        if len(words) == 2
        else f"{name}: {_listed(words)} are all read as {meaning}; {choose} keeps each as its own class"
        for meaning, words in notes.get(MERGED, {}).items()
    ]
    lines += [
        f"{name}: {_listed(words)} mean {meaning}, and there is no other class: each is kept as its own class"
        for meaning, words in notes.get(KEPT_APART, {}).items()
    ]
    left_out = {Path(key): reason for key, reason in notes.get(LEFT_OUT, {}).items()}
    described = describe_left_out(left_out, notes.get(LITTER, 0), Path())
    lines += [f"{name}: {described[0]}", *described[1:]] if described else []
    return lines + [f"{name}: {line}" for line in _other_notes(notes)]


def named_left_out(notes: Mapping[str, Any]) -> str:
    """Return "; left out: a.jpg (a web page), ..." for the end of a message that it may be the cause of, or ""."""
    left_out = {Path(key): reason for key, reason in notes.get(LEFT_OUT, {}).items()}
    return f"; left out: {name_some(left_out, Path())}" if left_out else ""


def _other_notes(notes: Mapping[str, Any]) -> list[str]:
    """Return a line for each note of a data set's own that is text or counts; longer ones, as lists of pairs, aren't
    shown."""
    others = {key: note for key, note in notes.items() if key not in (LEFT_OUT, LITTER, MERGED, KEPT_APART)}
    counts = {key: note for key, note in others.items() if isinstance(note, dict)}
    texts = {key: ", ".join(f"{what} {count}" for what, count in note.items()) for key, note in counts.items()}
    texts |= {key: note for key, note in others.items() if isinstance(note, str)}
    return [f"{key}: {text}" for key, text in texts.items() if text]


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
