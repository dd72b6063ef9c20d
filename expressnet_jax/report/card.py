"""The text of a model card (Mitchell et al. 2019) from a report: what a reader of the weights should know."""

from collections.abc import Mapping
from typing import Any

from expressnet_jax.report.page.elements import between, number, percent

Found = Mapping[str, Any]
LISTED = 6


def model_card(report: Found, measured: Found | None) -> str:
    """Return the card as Markdown; what a section that was left out would have said is missing."""
    sections = report["sections"]
    parts = [f"# Model card: {report['model']['name']}", _what(report)]
    makers = {
        "figures": _figures,
        "calibration": _calibration,
        "robustness": _robustness,
        "fairness": _fairness,
        "pairs": _pairs,
    }
    parts += [make(sections[name]) for name, make in makers.items() if name in sections]
    if measured:
        parts.append(f"## Cost\n\n{measured['milliseconds']:.2f} ms a face on one core.")
    return "\n\n".join(parts) + "\n"


def _what(report: Found) -> str:
    cost = report["sections"].get("cost", {})
    size = f", {number(cost['parameters'])} parameters" if "parameters" in cost else ""
    terms = f"\n\nTerms: {cost['license']}" if cost.get("license") else ""
    return (
        f"A {report['model']['network']}{size} that **predicts the label that annotators gave to the expression "
        "shown**. It does not detect what a person feels; do not use it to judge people. The EU AI Act (Art. 5(1)(f)) "
        f"bans inferring emotions at work and in education.{terms}"
    )


def _figures(found: Found) -> str:
    lines = ["## How good it is", "", "| data | images | accuracy | balanced | macro-F1 |", "|---|---|---|---|---|"]
    for each in found["data"]:
        accuracy = f"{percent(each['accuracy'])} ({between(each['accuracy_interval'])})"
        name = f"{each['name']}, {each['split']}: {each['use']}"
        shares = " | ".join(percent(each[key]) for key in ("balanced_accuracy", "macro_f1"))
        lines.append(f"| {name} | {each['count']:,} | {accuracy} | {shares} |")
    return "\n".join(lines)


def _calibration(found: Found) -> str:
    each = found["data"][0]
    at = {row["coverage"]: row for row in each["coverage"]}[0.8]
    lines = [
        "## How to use its probabilities",
        "",
        f"Calibration error {percent(each['ece_equal_mass'])} on {each['name']}. Refusing answers below a "
        f"confidence of "
        f"{at['least_confidence']:.2f} leaves 80 % of the images, {percent(at['accuracy'])} of them right. An "
        f"answer is right nine times in ten from this probability on (share of the class that is still found):",
        "",
    ]
    for name, f in each["thresholds"].items():
        level = f"{f['threshold']:.2f} ({percent(f['kept'], 0)})" if f["threshold"] is not None else "never"
        lines.append(f"- {name}: {level}")
    return "\n".join(lines)


def _robustness(found: Found) -> str:
    c = found["corruptions"]
    lines = ["## What breaks it", "", "| what | accuracy |", "|---|---|"]
    lines.append(f"| {c['count']} images of {found['name']} as they are | {percent(1 - c['clean_error'])} |")
    worst = sorted(c["errors"].items(), key=lambda item: -sum(item[1]))[:LISTED]
    lines += [f"| {name.replace('_', ' ')}, mean of 5 levels | {percent(1 - sum(e) / len(e))} |" for name, e in worst]
    lines += [f"| a {name} over the face | {percent(f['accuracy'])} |" for name, f in found["covers"].items()]
    small = found["sweeps"]["resolution"]["rows"]
    lines += [f"| {row['value']:g} pixels a side | {percent(row['accuracy'])} |" for row in small]
    if c.get("mce") is not None:
        lines += ["", f"mCE {100 * c['mce']:.1f} % of {c['against']['name']}'s."]
    return "\n".join(lines)


def _fairness(found: Found) -> str:
    lines = ["## For whom", ""]
    for each in found["attributes"]:
        lines.append(f"- {each['attribute']} in {each['name']}: gap {percent(each['accuracy_gap'])}")
    for sweep in found["generated"]["sweeps"].values():
        lines.append(f"- generated faces, {sweep['title'].lower()}: gap {percent(sweep['gap'])} in accuracy")
    return "\n".join(lines)


def _pairs(found: Found) -> str:
    pairs = found["data"][0]["pairs"][:3]
    lines = [f"- {row['first']} and {row['second']}: {percent(row['confusion'])}" for row in pairs]
    return "\n".join(["## What it takes for what", "", *lines])
