"""The sections about how good the model is: figures, calibration, pairs."""

from collections.abc import Mapping
from typing import Any

from expressnet_jax.report.page.charts import Bar, Point, bar_chart, line_chart
from expressnet_jax.report.page.elements import (
    between,
    columns,
    heat_table,
    number,
    paragraph,
    percent,
    table,
    text,
)

Found = Mapping[str, Any]


def figures_html(found: Found) -> str:
    """Return the section of figures: all data sets in one table, then each by class."""
    heads = ("Data set", "Images", "Accuracy", "95 % interval", "Balanced", "Macro-F1", "Without near-duplicates")
    rows = [
        (
            f"{each['name']}, {each['split']}",
            number(each["count"]),
            percent(each["accuracy"]),
            between(each["accuracy_interval"]),
            percent(each["balanced_accuracy"]),
            percent(each["macro_f1"]),
            percent(each["deduplicated"]["accuracy"]) if each["deduplicated"] else "not known",
        )
        for each in found["data"]
    ]
    parts = [table("Figures of every data set", heads, rows)]
    for each in found["data"]:
        parts.append(f"<h3>{text(each['name'])}, {text(each['split'])}</h3>")
        parts.append(paragraph(_about(each)))
        parts.append(columns(_per_class(each), _confusion(each)))
        if against := each.get("against"):
            parts.append(_against(against))
    if seeds := found.get("seeds"):
        parts.append(_seeds(seeds))
    return "".join(parts)


def _about(each: Found) -> str:
    words = [f"How training used it: {each['use']}."]
    if each["left_out"]:
        words.append(f"{each['left_out']:,} images were left out: the model does not know their class.")
    if each["model_classes_left_out"]:
        names = ", ".join(each["model_classes_left_out"])
        words.append(f"Answers are among the classes that the data set has; the model also knows {names}.")
    if not each["audited"]:
        words.append(f"Near-duplicates in training are not known; expressnet audit {each['name']} finds them.")
    return " ".join(words)


def _per_class(each: Found) -> str:
    rows = [
        (
            name,
            f"{f['support']:,}",
            *(percent(f[key]) if f["support"] else "–" for key in ("precision", "recall", "f1")),
        )
        for name, f in each["per_class"].items()
    ]
    bars = [Bar(name, f["recall"] if f["support"] else None) for name, f in each["per_class"].items()]
    return bar_chart("Recall by class", bars) + table(
        "By class", ("Class", "Images", "Precision", "Recall", "F1"), rows
    )


def _confusion(each: Found) -> str:
    counts = each["confusion"]
    shares = [[n / sum(row) if sum(row) else None for n in row] for row in counts]
    caption = "Confusion: per cent of each row; rows are the label, columns the answer"
    return heat_table(caption, "label", each["classes"], each["classes"], shares)


def _against(found: Found) -> str:
    low, high = found["interval"]
    verdict = "more than luck" if found["p_value"] < 0.05 else "no more than luck could make it"
    words = (
        f"Against {found['name']} ({percent(found['accuracy'])}): {100 * found['difference']:+.1f} points, 95 % "
        f"interval {100 * low:+.1f} to {100 * high:+.1f}; {found['only_this_right']:,} images only this model gets "
        f"right, {found['only_other_right']:,} only the other. McNemar's test: p = {found['p_value']:.2g}, {verdict}."
    )
    rows = [(name, percent(f["this"]), percent(f["other"])) for name, f in found["per_class"].items()]
    differ = [(row["label"], row["this"], row["other"], row["count"]) for row in found["differ_most"]]
    heads = ("Label", "This model says", "The other says", "Images")
    return paragraph(words) + columns(
        table(f"Recall of this model and of {found['name']}", ("Class", "This", "Other"), rows),
        table("Where the two differ most", heads, differ),
    )


def _seeds(found: Found) -> str:
    rows = [
        (name.replace("_", " "), number(f["mean"], 4), number(f["standard_deviation"], 4), _interval(f["interval"]))
        for name, f in found["across_seeds"].items()
    ]
    caption = f"Across seeds {', '.join(map(str, found['seeds']))}, {found['data']}, {found['split']}"
    return "<h3>Several seeds</h3>" + table(caption, ("Figure", "Mean", "Deviation", "95 % interval of the mean"), rows)


def _interval(interval: list[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def calibration_html(found: Found) -> str:
    """Return the section of calibration, a reliability diagram and the use of thresholds for each data set."""
    return "".join(_calibration(each) for each in found["data"])


def _calibration(each: Found) -> str:
    at = {row["coverage"]: row for row in each["coverage"]}
    words = (
        f"Confidence is {percent(each['ece_equal_mass'])} off the accuracy on average ({each['count']:,} "
        f"images, bins of "
        f"equal mass), {percent(each['ece_equal_mass_tempered'])} at the temperature {each['temperature']:.2f} that is "
        f"fitted to the other half of the images. Brier score {each['brier']:.3f}. If the model may refuse the least "
        f"certain 20 %, {percent(at[0.8]['accuracy'])} of its answers are right instead of "
        f"{percent(at[1.0]['accuracy'])}: refuse below a confidence of {at[0.8]['least_confidence']:.2f}."
    )
    reliability = line_chart(
        "Reliability",
        [("model", [Point(row["confidence"], row["accuracy"], row["interval"]) for row in each["reliability"]])],
        x_name="confidence",
        y_name="accuracy, %",
        diagonal=True,
    )
    low = min(row["accuracy"] for row in each["coverage"])
    coverage = line_chart(
        "Accuracy against coverage",
        [("model", [Point(row["coverage"], row["accuracy"]) for row in reversed(each["coverage"])])],
        x_name="share of images answered",
        y_name="accuracy, %",
        y_range=(int(20 * low) / 20, 1.0),
    )
    heads = ("Answer", "Threshold", "Precision there", "95 % interval", "Still found")
    rows = [
        (name, number(f["threshold"], 2), percent(f["precision"]), between(f["interval"]), percent(f["kept"]))
        for name, f in each["thresholds"].items()
    ]
    caption = "Thresholds for 90 % precision, chosen on one half of the images and judged on the other"
    heading = f"<h3>{text(each['name'])}, {text(each['split'])}</h3>"
    return heading + paragraph(words) + columns(reliability, coverage) + table(caption, heads, rows)


def pairs_html(found: Found) -> str:
    """Return the section of confused pairs and of annotators' doubt."""
    return "".join(_pairs(each) for each in found["data"])


def _pairs(each: Found) -> str:
    heads = ("Pair", "Confused", "First as second", "Second as first", "Errors", "Annotators' votes")
    rows = [
        (
            f"{row['first']} and {row['second']}",
            percent(row["confusion"]),
            percent(row["first_as_second"]),
            percent(row["second_as_first"]),
            number(row["errors"]),
            percent(row["annotators"]),
        )
        for row in each["pairs"]
    ]
    heading = f"<h3>{text(each['name'])}, {text(each['split'])}</h3>"
    return heading + table("Pairs that are taken for one another", heads, rows) + _annotators(each["annotators"])


def _annotators(found: Found | None) -> str:
    if found is None:
        return paragraph("The data set has no votes, so nothing is known of the annotators' doubt.", "faint")
    clear, unclear = found["clear"], found["unclear"]
    words = (
        f"Where at least 8 of 10 annotators agree ({clear['count']:,} images), the model's answer is their "
        f"commonest one "
        f"in {percent(clear['accuracy'])} ({between(clear['interval'])}); where they do not ({unclear['count']:,}), in "
        f"{percent(unclear['accuracy'])}. The entropies of votes and answers correlate with Spearman's "
        f"{found['spearman']:.2f}: the model doubts where people do, if that is near 1."
    )
    bars = [
        Bar(f"{100 * row['from']:.0f} to {100 * row['to']:.0f} %", row["accuracy"], row["interval"])
        for row in found["by_agreement"]
    ]
    return paragraph(words) + bar_chart("Accuracy by the share of the commonest vote", bars)
