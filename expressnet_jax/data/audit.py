"""What a prepared data set hides: images that are in two splits, labels that disagree, blank and broken images.

Shapes: N examples of all splits together, D distinct images, S splits.
"""

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from expressnet_jax.data.duplicates import BLANK, METHOD, THRESHOLD, is_blank, near_pairs
from expressnet_jax.data.prepared import Prepared, Split
from expressnet_jax.data.scan import Scan, scan
from expressnet_jax.errors import UserError

TRAIN = "train"
LISTED = 200  # conflicts and example pairs that are written out; their number is always given in full
# An image of another size is suspicious only where nearly all have one size; sets of free crops have thousands.
_SAME_SIZE_SHARE = 0.99


def audit(prepared: Prepared) -> dict[str, Any]:
    """Compare every image with every other; write `audit.json` and `audit.txt` next to the records.

    Positions in the report count from 0 in the official order of their split. `leaks` holds the training examples that
    have an equal or near-equal image in any other split, `leaked` the examples of those splits that have one in
    train, `leaked_exact` only those that agree byte for byte.
    """
    splits = {name: prepared.split(name) for name in prepared.splits}
    rows = scan(splits)
    blank = is_blank(rows.thumbnails)
    counts = _occurrences(rows)
    near, pairs = _near(rows, counts > 0, np.flatnonzero(~blank))
    report = {
        "dataset": prepared.name,
        "facts": _fingerprint(prepared),
        "method": METHOD,
        "threshold": THRESHOLD,
        "blank_below": BLANK,
        "examples": dict(prepared.splits),
        "counts": {name: _class_counts(split) for name, split in splits.items()},
        "exact": _exact_counts(rows, counts),
        "near": _near_counts(rows, near[rows.distinct]),
        "conflicts": _conflicts(rows, prepared.classes),
        "subjects_in_two_splits": _shared_subjects(splits),
        "blank": rows.by_split(rows.readable & blank[rows.distinct]),
        "unreadable": rows.by_split(~rows.readable),
        "sizes": _sizes(rows),
        "near_pairs_across_splits": pairs,
        **_leaks(rows, counts > 0, near),
    }
    _write(prepared.directory / "audit.json", json.dumps(report, indent=1) + "\n")
    _write(prepared.directory / "audit.txt", table(report))
    return report


def load_audit(prepared: Prepared) -> dict[str, Any] | None:
    """Return the report of an earlier audit, or None if there is none of these very images and labels."""
    try:
        report = json.loads((prepared.directory / "audit.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return report if report.get("facts") == _fingerprint(prepared) else None


def leaked_examples(prepared: Prepared, split: str) -> list[int] | None:
    """Return the examples of a split with a near-duplicate in train; None if the data set was not audited."""
    report = load_audit(prepared)
    return None if report is None else report["leaked"].get(split)


def one_line(report: Mapping[str, Any]) -> str:
    """Return the findings in one sentence, which a training log shows."""
    name, examples = report["dataset"], report["examples"]
    if len(examples) < 2 or TRAIN not in examples:
        groups, near = sum(report["exact"]["within"].values()), sum(report["near"]["within"].values())
        return f"{name}: {groups:,} groups of equal images, {near:,} images near-equal to another of their split"
    if not report["leaks"][TRAIN]:
        return f"{name}: no image of train has an equal or near-equal one in another split"
    found = [
        f"{report['exact']['across'][f'{TRAIN}|{split}']:,} images are in both train and {split} byte for byte, "
        f"{len(positions):,} of {examples[split]:,} {split} images have an equal or near-equal one in train"
        for split, positions in report["leaked"].items()
    ]
    drops = len(report["leaks"][TRAIN])
    return f"{name}: {'; '.join(found)}; data.drop_leaks=true leaves {drops:,} training images out"


def table(report: Mapping[str, Any]) -> str:
    """Return the report as text: a table of counts with a column a split, then the findings in sentences."""
    splits = list(report["examples"])
    counted = {"examples": report["examples"]}
    for name in report["counts"][splits[0]]:
        counted[f"  {name}"] = {split: report["counts"][split][name] for split in splits}
    counted["groups of equal images"] = report["exact"]["within"]
    counted["near-equal within the split"] = report["near"]["within"]
    listed = {
        "equal or near-equal in train": report["leaked"],
        "  of these byte for byte": report["leaked_exact"],
        "blank": report["blank"],
        "unreadable": report["unreadable"],
        "of an odd size": report["sizes"]["odd"],
    }
    counted |= {title: {s: len(rows[s]) for s in rows} for title, rows in listed.items()}
    lines = [f"{'split':<30}" + "".join(f"{split:>12}" for split in splits)]
    lines += [f"{title:<30}" + "".join(f"{row.get(s, 0):>12,}" for s in splits) for title, row in counted.items()]
    subjects, conflicts = report["subjects_in_two_splits"], report["conflicts"]
    return "\n".join(
        [
            *lines,
            "",
            one_line(report),
            *(f"{pair}: {count:,} distinct images are in both" for pair, count in report["exact"]["across"].items()),
            f"equal images with different labels: {conflicts['exact']:,} groups",
            f"  of these across splits: {conflicts['exact_across']:,}",
            f"subjects in two splits: {len(subjects):,} {', '.join(subjects[:10])}".rstrip(),
            report["method"],
            "",
        ]
    )


def _occurrences(rows: Scan) -> np.ndarray:
    """int64[D,S]: how often each distinct image is in each split."""
    counts = np.zeros((len(rows.first), len(rows.splits)), np.int64)
    np.add.at(counts, (rows.distinct, rows.split), 1)
    return counts


def _near(rows: Scan, present: np.ndarray, comparable: np.ndarray) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """bool[D,S]: has the image a near-equal, not byte-equal one in that split? And examples of pairs across splits.

    present bool[D,S]; comparable int64[<=D], the distinct images that aren't blank.
    """
    near = np.zeros_like(present)
    examples: list[dict[str, Any]] = []
    for pairs in near_pairs(rows.thumbnails[comparable]):
        a, b = comparable[pairs.first], comparable[pairs.second]
        np.logical_or.at(near, a, present[b])
        np.logical_or.at(near, b, present[a])
        across = np.flatnonzero(rows.split[rows.first[a]] != rows.split[rows.first[b]])
        for p in across[: LISTED - len(examples)]:
            found: dict[str, Any] = {"images": [_name(rows, rows.first[a[p]]), _name(rows, rows.first[b[p]])]}
            found |= {"correlation": round(float(pairs.correlation[p]), 4), "mirrored": bool(pairs.mirrored[p])}
            examples.append(found)
    return near, sorted(examples, key=lambda found: found["correlation"])


def _exact_counts(rows: Scan, counts: np.ndarray) -> dict[str, dict[str, int]]:
    shared = {
        f"{rows.splits[a]}|{rows.splits[b]}": int(((counts[:, a] > 0) & (counts[:, b] > 0)).sum())
        for a, b in combinations(range(len(rows.splits)), 2)
    }
    return {"within": dict(zip(rows.splits, (counts > 1).sum(0).tolist(), strict=True)), "across": shared}


def _near_counts(rows: Scan, near: np.ndarray) -> dict[str, Any]:
    """Count images with a near-equal, not byte-equal one: in their own split, and for two splits on either side."""
    table = {
        a: {b: int(near[rows.split == i, j].sum()) for j, b in enumerate(rows.splits)}
        for i, a in enumerate(rows.splits)
    }
    across = {f"{a}|{b}": {a: table[a][b], b: table[b][a]} for a, b in combinations(rows.splits, 2)}
    return {"within": {name: table[name][name] for name in rows.splits}, "across": across}


def _leaks(rows: Scan, present: np.ndarray, near: np.ndarray) -> dict[str, Any]:
    if TRAIN not in rows.splits:
        return {"leaks": {}, "leaked": {}, "leaked_exact": {}}
    train = rows.splits.index(TRAIN)
    others = np.arange(len(rows.splits)) != train
    outside = rows.split != train
    elsewhere = (present | near)[:, others].any(1)[rows.distinct]
    return {
        "leaks": {TRAIN: rows.position[~outside & elsewhere].tolist()},
        "leaked": rows.by_split(outside & (present | near)[rows.distinct, train]),
        "leaked_exact": rows.by_split(outside & present[rows.distinct, train]),
    }


def _conflicts(rows: Scan, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the groups of byte-equal images whose labels differ."""
    pairs = np.unique(np.stack([rows.distinct, rows.label]), axis=1)
    disputed = np.flatnonzero(np.bincount(pairs[0], minlength=len(rows.first)) > 1)
    members: dict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(np.isin(rows.distinct, disputed)):
        members[int(rows.distinct[row])].append(int(row))
    groups = [[[*_name(rows, row), classes[rows.label[row]]] for row in group] for group in members.values()]
    across = sum(len({split for split, *_ in group}) > 1 for group in groups)
    return {"exact": len(groups), "exact_across": across, "groups": groups[:LISTED]}


def _shared_subjects(splits: Mapping[str, Split]) -> list[str]:
    seen: Counter[Any] = Counter()
    for split in splits.values():
        seen.update(set() if split.subjects is None else set(map(str, split.subjects)) - {""})
    return sorted(subject for subject, times in seen.items() if times > 1)


def _class_counts(split: Split) -> dict[str, int]:
    return dict(zip(split.classes, np.bincount(split.labels, minlength=len(split.classes)).tolist(), strict=True))


def _sizes(rows: Scan) -> dict[str, Any]:
    """Return the commonest sizes, and which images differ from the one that nearly all have."""
    sizes, inverse, counts = np.unique(rows.size, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(-counts)
    odd = rows.readable & (inverse.ravel() != order[0])
    uniform = counts[order[0]] >= _SAME_SIZE_SHARE * len(rows.size)
    common = {f"{sizes[i, 0]}x{sizes[i, 1]}": int(counts[i]) for i in order[:10] if sizes[i, 0]}
    return {
        "different": int((sizes[:, 0] > 0).sum()),
        "commonest": common,
        "odd": rows.by_split(odd) if uniform else {},
    }


def _name(rows: Scan, row: int) -> list[Any]:
    return [rows.splits[rows.split[row]], int(rows.position[row])]


def _fingerprint(prepared: Prepared) -> str:
    return hashlib.sha256(json.dumps(prepared.facts, sort_keys=True).encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror}); prepare a copy in another data_dir") from error
