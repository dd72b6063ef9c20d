"""Lists of images with labels, as CSV or in any other table, or as JSON lines.

Column names are found among those that people use, in any case of letters; columns that aren't known are skipped.
A table without a header is read if one of its columns holds existing files.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expressnet_jax.data.datasets.annotation_files import require_files
from expressnet_jax.data.datasets.class_folders import SPLIT_WORDS, split_of
from expressnet_jax.data.datasets.listed_files import ListedFiles
from expressnet_jax.data.datasets.pixel_table import PIXELS
from expressnet_jax.data.datasets.tables import Table
from expressnet_jax.data.labels import canonical
from expressnet_jax.errors import UserError, shorten

# The first match counts: words come before numbers, and what is surely a path before what may be a person's name.
COLUMNS = {
    "path": (
        *("path", "image_path", "img_path", "file_path", "filepath", "pth", "file_name", "filename", "image_name"),
        *("img_name", "imagename", "image", "img", "images", "file", "files", "picture", "photo", "image_file"),
        *("subdirectory_filepath", "image_id", "id_image", "name"),
    ),
    "label": (
        *("label_name", "class_name", "emotion_name", "expression_name", "label", "emotion", "class", "expression"),
        *("labels", "classname", "category", "target", "emotions", "expressions", "facial_expression", "sentiment"),
        *("classes", "tag", "y"),
    ),
    "split": ("split", "usage", "subset", "partition"),
    "subject": ("subject", "person", "identity", "subject_id", "person_id"),
}
KNOWN = {alias for aliases in COLUMNS.values() for alias in aliases}
EXAMPLES = {"path": "path, image or filename", "label": "label, emotion or class"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One image as it is listed: where it is, and what is written about it."""

    key: str
    path: Path
    label_text: str
    split: str = "all"
    subject: str = ""


UNLABELLED = frozenset(["nan", "<na>", "n/a", "#n/a", "null"])  # as tools write an empty field; "none" is a class
Row = tuple[int, dict[str, str]]  # number of the row, our column name -> text


def listed_samples(path: Path, notes: dict[str, Any], split: str = "all") -> list[Sample]:
    """Return the images of a list in its order; those without a split of their own belong to `split`.

    notes: gets a line about everything that was assumed.

    Raises:
      UserError: no column for path or label, empty fields, files that aren't there, an unknown split.
    """
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        rows, encoding = list(_json_rows(path)), "utf-8"
    else:
        table = Table(path, KNOWN)
        rows, encoding = list(_table_rows(table)), table.encoding
        if table.guessed:
            notes["encoding"] = table.guessed
    if not rows:
        raise UserError(f"{path.name}: no rows below the header; list at least one image")
    _require_fields(path.name, rows)
    files = ListedFiles(path.parent, [row["path"] for _, row in rows], encoding)
    if files.note:
        notes["paths"] = f"{path.name}: {files.note}"
    places = [(f"{path.name} row {line}", files.path(row["path"])) for line, row in rows]
    guessed = f"; {notes['encoding']}" if "encoding" in notes else ""
    require_files(places, f"correct the paths (those that are relative start at {files.base}){guessed}")
    return [
        Sample(row["path"], found, row["label"], _split(place, row, split), row.get("subject", ""))
        for (place, found), (_, row) in zip(places, rows, strict=True)
    ]


def _table_rows(table: Table) -> Iterator[Row]:
    rows = table.rows()
    line, header = next(rows, (1, []))
    columns, choices = _columns_of(header), one_hot(header)
    if "path" in columns and "label" not in columns and choices:
        yield from _one_hot_rows(table.path.name, rows, columns, choices)
        return
    if not {"path", "label"} & columns.keys() and (columns := _without_header(table, header)):
        yield line, {name: header[at] for name, at in columns.items()}
    for name, examples in EXAMPLES.items():
        if name not in columns:
            found = f"it has {shorten(header)}" if header else "it is empty"
            remedy = f"name it {examples}"
            if PIXELS in map(str.lower, header):
                remedy = f"its rows are images: expressnet prepare fer2013 (or ckplus) --source {table.path}"
            raise UserError(f"{table.path.name} row {line}: no column for the {name}; {found}; {remedy}")
    for line, values in rows:
        yield line, {name: values[at] if at < len(values) else "" for name, at in columns.items()}


def one_hot(header: Sequence[str]) -> dict[int, str]:
    """Return position -> name of the columns that are named after expressions; empty unless there are several."""
    found = {at: word for at, word in enumerate(header) if canonical(word)}
    return found if len(found) > 1 else {}


def _one_hot_rows(
    file: str, rows: Iterator[tuple[int, list[str]]], columns: dict[str, int], choices: dict[int, str]
) -> Iterator[Row]:
    """Yield the rows with a column for each class, as Roboflow's _classes.csv: the only one that isn't 0 is the
    label."""
    for line, values in rows:
        chosen = [name for at, name in choices.items() if at < len(values) and values[at] not in ("", "0", "0.0")]
        if len(chosen) != 1:
            raise UserError(
                f"{file} row {line}: {len(chosen)} classes are marked, not one: {shorten(chosen) or 'none'}"
            )
        yield line, {name: values[at] for name, at in columns.items()} | {"label": chosen[0]}


def _columns_of(header: Sequence[str]) -> dict[str, int]:
    """Return our name -> position, for every column of the header that is known."""
    words = [word.lower().replace(" ", "_").replace("-", "_") for word in header]
    found = {name: [words.index(alias) for alias in aliases if alias in words] for name, aliases in COLUMNS.items()}
    return {name: positions[0] for name, positions in found.items() if positions}


def _without_header(table: Table, first: list[str]) -> dict[str, int]:
    """Return the columns of a table whose first row is an image already: the one with an existing file, and the next
    one."""
    for at, value in enumerate(first):
        if value and len(first) > 1 and ListedFiles(table.path.parent, [value], table.encoding).path(value).is_file():
            return {"path": at, "label": at + 1 if at + 1 < len(first) else at - 1}
    return {}


def _json_rows(path: Path) -> Iterator[Row]:
    """Yield the objects of a JSON file: one in each line, or all of them in one list."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    try:
        whole = text.lstrip().startswith("[")
        values = list(enumerate(json.loads(text), 1)) if whole else [(n, json.loads(line)) for n, line in lines]
    except ValueError as error:
        raise UserError(f"{path.name}: not JSON ({error}); save the list as CSV with path and label") from error
    for number, value in values:
        columns = _columns_of(list(value)) if isinstance(value, dict) else {}
        if not {"path", "label"} <= columns.keys():
            raise UserError(f"{path.name} row {number}: not an object with path and label; save the list as CSV")
        texts = ["" if item is None else str(item).strip() for item in value.values()]
        yield number, {name: texts[at] for name, at in columns.items()}


def _require_fields(file: str, rows: Sequence[Row]) -> None:
    for name in EXAMPLES:
        if empty := [str(line) for line, row in rows if _is_empty(name, row[name])]:
            word = "row" if len(empty) == 1 else f"{len(empty)} rows:"
            remedy = "fill it in or remove the row" + "s" * (len(empty) > 1)
            raise UserError(f"{file} {word} {shorten(empty)}: the {name} is empty; {remedy}")


def _is_empty(name: str, text: str) -> bool:
    return not text or (name == "label" and text.lower() in UNLABELLED)


def _split(place: str, row: dict[str, str], otherwise: str) -> str:
    if "split" not in row:
        return otherwise
    if (split := split_of(row["split"])) is None:
        raise UserError(f"{place}: split {row['split']!r} is not one of {', '.join(SPLIT_WORDS)}")
    return split
