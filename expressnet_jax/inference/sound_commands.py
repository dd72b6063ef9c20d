"""`expressnet predict` of recordings: a table, lines of JSON, or CSV."""

import argparse
import contextlib
import csv
import json
import sys
from collections.abc import Mapping, Sequence

from expressnet_jax.bars import bar
from expressnet_jax.data.fields import Field
from expressnet_jax.data.media_files import media_kind
from expressnet_jax.errors import UserError, printable
from expressnet_jax.inference.further import output_cells, output_columns
from expressnet_jax.inference.inputs import Source
from expressnet_jax.inference.model_inputs import remark_missing
from expressnet_jax.inference.output_files import new_file, print_result
from expressnet_jax.inference.outputs import outputs_as_dict
from expressnet_jax.inference.sound_predictor import SoundPredictor, Stretch

UNREADABLE = 2  # exit status


def are_sounds(sources: Sequence[Source]) -> bool:
    """Return whether all inputs of a run are recordings, by their content."""
    return all(map(_is_sound, sources))


def _is_sound(source: Source) -> bool:
    try:
        return media_kind(source.name) == "audio"
    except OSError:
        return False


def predict_sounds(arguments: argparse.Namespace, sources: Sequence[Source]) -> int:
    """Predict every recording in its order; return the highest exit status.

    Raises:
      UserError: an option that is of images or videos, or a model that takes no sound.
    """
    for option in ("save", "annotate"):
        if getattr(arguments, option):
            raise UserError(f"--{option} is for images and videos; recordings are written with --csv or --json")
    predictor = SoundPredictor(arguments.model, threads=arguments.threads, output=arguments.output)
    remark_missing(predictor.model, ("waveform",))
    status = 0
    with contextlib.ExitStack() as stack:
        table = csv.writer(stack.enter_context(new_file(arguments.csv))) if arguments.csv else None
        if table:
            further = output_columns(predictor.model.fields)
            table.writerow(["sound", "start", "end", "label", "confidence", *predictor.classes, *further])
        for source in sources:
            try:
                found = predictor(source.name)
            except UserError as error:
                print(f"error: {printable(source.shown)}: {error}", file=sys.stderr)
                status = UNREADABLE
                continue
            print_result(json_line(source.shown, found) if arguments.json else lines(source.shown, found))
            if table:
                table.writerows(row(source.shown, stretch, predictor.model.fields) for stretch in found)
    return status


def lines(name: str, found: Sequence[Stretch]) -> str:
    """Return the stretches of a recording as lines of text for a terminal."""
    text = [f"{printable(name)}: {len(found)} stretch{'es' if len(found) > 1 else ''}"]
    for stretch in found:
        ranked = sorted(stretch.probabilities.items(), key=lambda pair: -pair[1])
        rest = ", ".join(f"{label} {100 * p:.0f} %" for label, p in ranked[1:3])
        sure = f"{100 * stretch.confidence:3.0f} % {bar(stretch.confidence)}"
        text.append(f"  {stretch.start:7.2f} to {stretch.end:7.2f} s  {stretch.label:<10} {sure}  {rest}")
    return "\n".join(text)


def json_line(name: str, found: Sequence[Stretch]) -> str:
    """Return a recording as a line of JSON: its name and its stretches."""
    rows = [
        {
            "start": round(stretch.start, 3),
            "end": round(stretch.end, 3),
            "label": stretch.label,
            "confidence": round(stretch.confidence, 5),
            "probabilities": {label: round(p, 5) for label, p in stretch.probabilities.items()},
        }
        | outputs_as_dict(stretch.outputs)
        for stretch in found
    ]
    return json.dumps({"sound": name, "stretches": rows})


def row(name: str, stretch: Stretch, fields: Mapping[str, Field]) -> list[str | float]:
    """Return a stretch as a row of the CSV; `fields` are the model's further outputs."""
    probabilities = [round(p, 5) for p in stretch.probabilities.values()]
    sure, further = round(stretch.confidence, 5), output_cells(stretch.outputs, fields).values()
    return [name, round(stretch.start, 3), round(stretch.end, 3), stretch.label, sure, *probabilities, *further]
