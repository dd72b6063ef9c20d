"""`expressnet predict` of texts, given as they are or as the lines of a file: a table, lines of JSON, or CSV."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from expressnet_jax.bars import bar
from expressnet_jax.data.media_files import media_kind
from expressnet_jax.errors import UserError, printable
from expressnet_jax.inference.further import output_cells, output_columns
from expressnet_jax.inference.inputs import STANDARD_INPUT
from expressnet_jax.inference.output_files import new_file, print_result
from expressnet_jax.inference.outputs import outputs_as_dict
from expressnet_jax.inference.text_predictor import TextAnswer, TextPredictor

UNREADABLE = 2  # exit status
LISTS = (".txt", ".csv", ".tsv")  # what ends so is meant as a file


class _Line(NamedTuple):
    """A text: the file that it is a line of, or "" of one given as INPUT, its number there from 1, and itself."""

    source: str
    number: int
    text: str


def predict_texts(arguments: argparse.Namespace) -> int:
    """Predict every text in its order; return the highest exit status.

    Raises:
      UserError: an option that is of images or videos, no text at all, or a model that takes none.
    """
    for option in ("save", "annotate"):
        if getattr(arguments, option):
            raise UserError(f"--{option} is for images and videos; texts are written with --csv or --json")
    predictor = TextPredictor(arguments.model, threads=arguments.threads, output=arguments.output)
    status, lines = 0, []
    for number, word in enumerate(arguments.inputs, 1):
        try:
            lines += _read_lines(word, number)
        except UserError as error:
            print(f"error: {printable(word)}: {error}", file=sys.stderr)
            status = UNREADABLE
    answers = predictor([line.text for line in lines])
    for answer in answers:
        print_result(json_line(answer) if arguments.json else _table_line(answer))
    if arguments.csv:
        with new_file(arguments.csv) as file:
            _write_csv(file, predictor, lines, answers)
    return status


def _read_lines(word: str, number: int) -> list[_Line]:
    """Return the lines of a file or of standard input that aren't empty, or the word itself as the `number`-th text.

    Raises:
      UserError: there is no text in it, or the file can't be read or is none of text.
    """
    if word != STANDARD_INPUT and not _is_file(word):
        if not word.strip() or word.lower().endswith(LISTS):
            raise UserError("no such file" if word.strip() else "the text is empty")
        return [_Line("", number, _checked(word))]
    content = _read_stdin() if word == STANDARD_INPUT else _read(Path(word))
    source = "standard input" if word == STANDARD_INPUT else word
    found = [_Line(source, i, line.strip()) for i, line in enumerate(content.splitlines(), 1) if line.strip()]
    if not found:
        raise UserError("there is no text in it")
    return found


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except OSError:  # longer than a name can be
        return False


def _checked(text: str) -> str:
    """Return the text, which holds no bytes that its encoding doesn't know, as the system passes them on."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError("can't be read as UTF-8; convert it first, as with iconv") from error
    return text


def _read_stdin() -> str:
    try:
        return _checked(sys.stdin.read())
    except UnicodeDecodeError as error:
        raise UserError(f"can't be read as UTF-8 ({error}); convert it first, as with iconv") from error


def _read(path: Path) -> str:
    try:
        if (kind := media_kind(path)) not in ("text", "empty", "other"):
            raise UserError(f"a file of kind {kind}, and the model takes text; give a file with a text in each line")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't be read as UTF-8 ({error}); give a file with a text in each line") from error


def _table_line(answer: TextAnswer) -> str:
    """Return a text with its likeliest classes as a line for a terminal."""
    ranked = sorted(answer.probabilities.items(), key=lambda pair: -pair[1])
    rest = ", ".join(f"{label} {100 * p:.0f} %" for label, p in ranked[1:3])
    sure = f"{100 * answer.confidence:3.0f} % {bar(answer.confidence)}"
    return f"{answer.label:<10} {sure}  {rest}  {printable(answer.text)}"


def json_line(answer: TextAnswer) -> str:
    """Return a text as a line of JSON."""
    found: dict[str, Any] = {"text": answer.text, "label": answer.label, "confidence": round(answer.confidence, 5)}
    found["probabilities"] = {label: round(p, 5) for label, p in answer.probabilities.items()}
    return json.dumps(found | outputs_as_dict(answer.outputs))


def _write_csv(file: Any, predictor: TextPredictor, lines: Sequence[_Line], answers: Sequence[TextAnswer]) -> None:
    """Write a row for each text into a text file."""
    classes, fields = predictor.classes, predictor.model.fields
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["source", "line", "text", "label", "confidence", *classes, *output_columns(fields)])
    for line, answer in zip(lines, answers, strict=True):
        shares = [round(answer.probabilities[label], 5) for label in classes]
        further = output_cells(answer.outputs, fields).values()
        table.writerow([*line, answer.label, round(answer.confidence, 5), *shares, *further])
