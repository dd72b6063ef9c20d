"""A report from its request: sections in order, each kept in the cache as soon as it is done.

OUTPUT/report.html     the page
OUTPUT/report.json     every figure on it; the same request on the same data gives the same bytes
OUTPUT/measured.json   milliseconds and memory, which differ from run to run
OUTPUT/model_card.md   what a reader of the weights should know
OUTPUT/error_gallery.html   the worst errors, to look at on one's own computer: it holds the data set's images
OUTPUT/cache/          predictions, corrupted images, finished sections
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from expressnet_jax import __version__
from expressnet_jax.data.audit import load_audit
from expressnet_jax.data.labels import canonical
from expressnet_jax.data.prepared import Prepared
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.error_gallery import write_error_gallery
from expressnet_jax.evaluation.seeds import read_run
from expressnet_jax.io import write_bytes, write_json
from expressnet_jax.report.calibration import calibration_section
from expressnet_jax.report.card import model_card
from expressnet_jax.report.context import FULL, QUICK, Context, Section, require, rounded, short
from expressnet_jax.report.corruptions import INSTALL
from expressnet_jax.report.cost import cost_section, measure_cost
from expressnet_jax.report.data_quality import data_section
from expressnet_jax.report.examples import load_examples
from expressnet_jax.report.explanation import explanation_section, picture_uri
from expressnet_jax.report.fairness import attribute_columns, check_attributes, fairness_section
from expressnet_jax.report.figures import figures_section
from expressnet_jax.report.page.page import render
from expressnet_jax.report.pairs import pairs_section
from expressnet_jax.report.raw_votes import with_votes
from expressnet_jax.report.robustness import robustness_section
from expressnet_jax.report.subject import Subject, load_subject, with_gradients

_FORMAT = 1  # of the sections' JSON: another one is computed again
SECTIONS: dict[str, Section] = {
    "figures": figures_section,
    "calibration": calibration_section,
    "pairs": pairs_section,
    "robustness": robustness_section,
    "explanation": explanation_section,
    "fairness": fairness_section,
    "data": data_section,
    "cost": cost_section,
}
_COMPARES = ("figures", "robustness")  # these also follow from the model of --against
_EXTRA = 'pip install "expressnet-jax[report]"'
NEEDS = {"robustness": ("corrupt_tta", INSTALL), "fairness": ("fairlearn", _EXTRA), "data": ("cleanlab", _EXTRA)}
LIBRARIES = ("corrupt-tta", "fairlearn", "cleanlab", "onnxruntime", "jax", "numpy", "scipy", "scikit-image")


class Request(NamedTuple):
    """What is asked for. `data` are prepared sets with the split that was asked for, or None."""

    model: str
    data: Sequence[tuple[Prepared, str | None]]
    output: Path
    against: str | None = None
    checkpoint: str | None = None
    attributes: Sequence[str] = ()
    runs: Sequence[Path] = ()
    votes: Path | None = None
    sections: Sequence[str] = tuple(SECTIONS)
    cache: Path | None = None
    quick: bool = False


def run_report(request: Request) -> dict[str, Path]:
    """Compute what is missing of a report, write all of its files, and return them by name.

    Raises:
      UserError: a wrong section, data set, attribute or model, or a missing library, before anything is computed.
    """
    check_sections(request.sections)
    context = make_context(request)
    found = {}
    bar = tqdm(request.sections, desc=f"report of {request.model}", unit="section", disable=None)
    for name in bar:
        bar.set_postfix_str(name)
        found[name] = section(context, name)
    report = {"format": _FORMAT, "version": __version__, **describe(request, context), "sections": found}
    measured = measurement(context, request.model) if "cost" in request.sections else None
    return _write_files(request, context, report, measured)


def check_sections(names: Sequence[str]) -> None:
    """Raise UserError for a section that does not exist, or whose library is missing."""
    if wrong := [name for name in names if name not in SECTIONS]:
        raise UserError(f"--sections: no {wrong[0]!r}; there are {', '.join(SECTIONS)}")
    for name in names:
        if name in NEEDS:
            require(NEEDS[name][0], name, NEEDS[name][1])


def make_context(request: Request) -> Context:
    """Load models and data, and check that they fit each other."""
    prepared = [each for each, _ in request.data]
    subject = load_subject(request.model, prepared)
    if request.checkpoint:
        subject = with_gradients(subject, request.checkpoint)
    other = load_subject(request.against, prepared) if request.against else None
    if other is not None:
        _check_same_kind(subject, other)
    budget = QUICK if request.quick else FULL
    data = []
    for each, split in request.data:
        examples = load_examples(each, each.name, subject.classes, subject.image_shape, split)
        examples = with_votes(examples, request.votes) if request.votes else examples
        data.append(examples.sample(budget.examples) if budget.examples else examples)
    check_attributes(request.attributes, data)
    for run in request.runs:
        read_run(run)  # refused here, before anything is computed
    audits = [load_audit(each) for each in prepared]
    cache = request.cache or request.output / "cache"
    return Context(subject, other, data, budget, cache, request.attributes, request.runs, audits)


def _check_same_kind(subject: Subject, other: Subject) -> None:
    """Raise UserError unless two models take images of one size and have two classes in common."""
    if other.image_shape != subject.image_shape:
        shapes = " and ".join("x".join(map(str, each.image_shape)) for each in (other, subject))
        raise UserError(f"--against {other.name}: images of {shapes}; compare models of one size of images")
    ours, theirs = ({canonical(name) or name for name in each.classes} for each in (subject, other))
    if len(ours & theirs) < 2:
        raise UserError(f"--against {other.name}: knows {', '.join(other.classes)}, not {', '.join(subject.classes)}")


def section(context: Context, name: str) -> dict[str, Any]:
    """Return a section's figures, rounded, from the cache where the same was computed before."""
    path = context.cache / f"section-{name}-{identity(context, name)}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = rounded(SECTIONS[name](context))
        write_json(path, found)
        return found


def measurement(context: Context, model: str) -> dict[str, Any] | None:
    """Return what one face costs on this computer, from the cache where it was measured before."""
    path = context.cache / f"measured-{context.subject.identity}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = rounded(measure_cost(model))
        if found:
            write_json(path, found)
        return found


def identity(context: Context, name: str) -> str:
    """Return what changes with anything that a section's figures follow from."""
    other = context.other.identity if context.other and name in _COMPARES else ""
    origin = str(context.subject.checkpoint.path) if context.subject.checkpoint else ""
    data = [
        (each.identity, each.classes, len(each), _audited(audit))
        for each, audit in zip(context.data, context.audits, strict=True)
    ]
    extras = _given(context, name)
    return short(_FORMAT, __version__, name, context.subject.identity, other, origin, data, context.budget, extras)


def _given(context: Context, name: str) -> list[Any]:
    """Return what a section takes from files that are given by name, which may have changed since."""
    if name == "figures":
        return [read_run(run) for run in context.runs]
    if name == "fairness":
        columns = [attribute_columns(context.attributes, each) for each in context.data]
    else:
        votes = ("votes", "agreement") if name == "pairs" else ()
        columns = [{key: each.columns[key] for key in votes if key in each.columns} for each in context.data]
    return [{key: column.tolist() for key, column in each.items()} for each in columns]


def _audited(audit: Mapping[str, Any] | None) -> str:
    return "" if audit is None else audit["facts"]


def describe(request: Request, context: Context) -> dict[str, Any]:
    """Return what the report is about, without a path of this computer."""
    subject = context.subject
    model = {"name": subject.label, "identity": subject.identity, "network": subject.facts["network"]}
    data = [
        {"name": each.name, "split": each.split, "identity": each.identity, "count": len(each)} for each in context.data
    ]
    libraries = {name: found for name in LIBRARIES if (found := _version(name))}
    return {"quick": request.quick, "model": model, "data": data, "libraries": libraries}


def _write_files(
    request: Request, context: Context, report: dict[str, Any], measured: dict[str, Any] | None
) -> dict[str, Path]:
    """Write every file of a report."""
    output = request.output
    files = {"report.json": write_json(output / "report.json", report)}
    if measured:
        files["measured.json"] = write_json(output / "measured.json", measured)
    picture = picture_uri(context) if "explanation" in report["sections"] else None
    page = render(report, measured, picture)
    files["report.html"] = write_bytes(output / "report.html", page.encode())
    files["model_card.md"] = write_bytes(output / "model_card.md", model_card(report, measured).encode())
    first = context.data[0]
    rows = context.probabilities(context.subject, first)
    title = f"Worst errors of {report['model']['name']} on {first.name}, {first.split}"
    files["error_gallery.html"] = write_error_gallery(
        rows, first.labels, list(first.images), first.classes, output / "error_gallery.html", first.keys, title=title
    )
    return files


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
