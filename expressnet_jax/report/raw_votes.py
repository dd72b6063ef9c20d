"""Annotators' votes as they were given: for data sets that are stored without, or with votes that a rule has cleaned.

FER+'s rule drops single votes and takes expressions until they have three quarters of the votes, so most of its stored
votes look unanimous. Shapes: N examples, S shared classes.
"""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from expressnet_jax.data.datasets.votes import read_votes
from expressnet_jax.data.labels import FERPLUS_COLUMNS, canonical
from expressnet_jax.errors import UserError
from expressnet_jax.report.examples import Examples

KEY = "key"
_FIRST_ROW = 2  # what the first example of FER2013's table is called: row2, the line below the heads


def with_votes(examples: Examples, path: Path) -> Examples:
    """Return examples with the columns `votes` float64[N,S], each row's sum 1, and `agreement` float64[N].

    `path` is fer2013new.csv, whose rows are those of fer2013.csv, or a table with the columns key and class names that
    hold counts. `agreement` is the commonest answer's share of all votes, those for unknown included. Examples without
    votes get NaN; a data set of which no key is in the table is returned as it is.

    Raises:
      UserError: the file can't be read, or has neither these columns nor those.
    """
    heads, counts = _counts(path)
    columns = [
        next((i for i, head in enumerate(heads) if _word(head) == _word(name)), None) for name in examples.classes
    ]
    found = [counts.get(str(key)) for key in examples.keys]
    if not any(row is not None for row in found):
        return examples
    missing = [name for name, at in zip(examples.classes, columns, strict=True) if at is None]
    if missing:
        raise UserError(f"--votes {path}: has no column for {', '.join(missing)} of {examples.name}")
    rows = np.stack([np.full(len(heads), np.nan) if row is None else row for row in found])
    votes, total = rows[:, np.array(columns, int)], rows.sum(1)
    given = votes.sum(1) > 0
    shares = np.where(given[:, None], votes / np.where(given, votes.sum(1), 1)[:, None], np.nan)
    agreement = np.where(given, votes.max(1) / np.where(total > 0, total, 1), np.nan)
    return replace(examples, columns={**examples.columns, "votes": shares, "agreement": agreement})


def _counts(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the names of the columns, and the counts float64[columns] of each key."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            heads = next(csv.reader(file), [])
            if KEY in heads:
                file.seek(0)
                names = [head for head in heads if head != KEY]
                rows = list(csv.DictReader(file))
                return names, {row[KEY]: np.array([float(row[name] or 0) for name in names]) for row in rows}
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise UserError(f"--votes {path}: can't be read ({error}); give fer2013new.csv or key and counts") from error
    if "Usage" not in heads:
        raise UserError(f"--votes {path}: has neither a column {KEY!r} nor FER+'s columns; give fer2013new.csv")
    table = np.concatenate(list(read_votes(path).values())).astype(np.float64)
    return list(FERPLUS_COLUMNS), {f"row{i}": row for i, row in enumerate(table, start=_FIRST_ROW)}


def _word(name: str) -> str:
    return canonical(name) or name
