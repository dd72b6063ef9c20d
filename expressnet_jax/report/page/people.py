"""The sections about whom and what the figures are of: fairness, data, cost."""

from collections.abc import Mapping
from typing import Any

from expressnet_jax.report.page.charts import Bar, Point, bar_chart, line_chart
from expressnet_jax.report.page.elements import between, columns, number, paragraph, percent, table, text

Found = Mapping[str, Any]


def fairness_html(found: Found) -> str:
    """Return the section of fairness: groups of each attribute, and generated faces with one thing changed."""
    parts = []
    if not found["attributes"]:
        parts.append(
            paragraph("No attribute was given (--attributes), so nothing is known of groups of people.", "faint")
        )
    parts += [_attribute(each) for each in found["attributes"]]
    swept = found["generated"]
    words = (
        f"{swept['people']} generated people, each with every expression, drawn again and again with one thing "
        "changed and all else the same, muscles, pose, light and camera included. What differs is therefore due to "
        "that thing, on drawn faces; photographs of real people may differ in other ways."
    )
    parts += ["<h3>Generated faces</h3>", paragraph(words)]
    rows = [
        (
            sweep["title"],
            percent(sweep["lowest"]),
            percent(sweep["highest"]),
            percent(sweep["gap"]),
            percent(sweep["changed"]),
        )
        for sweep in swept["sweeps"].values()
    ]
    heads = ("What changes", "Lowest accuracy", "Highest", "Gap", "Answers that change")
    parts.append(table("How much one thing changes", heads, rows))
    parts.append(columns(*(_sweep(sweep) for sweep in swept["sweeps"].values())))
    return "".join(parts)


def _attribute(each: Found) -> str:
    rows = [
        (name, number(f["count"]), percent(f["accuracy"]), between(f["interval"]), percent(f["balanced_accuracy"]))
        for name, f in each["groups"].items()
    ]
    words = (
        f"Largest gap in accuracy {percent(each['accuracy_gap'])}; equalised-odds gap (largest difference "
        f"between groups "
        f"in a class's true- or false-positive rate) {percent(each['equalized_odds_gap'])}, for {each['worst_class']}."
    )
    if each["left_out"]:
        words += f" {each['left_out']:,} images in groups of fewer than {each['fewest']} are left out."
    heads = ("Group", "Images", "Accuracy", "95 % interval", "Balanced")
    return f"<h3>{text(each['attribute'])} in {text(each['name'])}</h3>{paragraph(words)}" + table(
        f"Groups of {each['attribute']}", heads, rows
    )


def _sweep(sweep: Found) -> str:
    if all(isinstance(row["value"], str) for row in sweep["rows"]):
        bars = [Bar(row["value"], row["accuracy"], row["interval"]) for row in sweep["rows"]]
        return bar_chart(sweep["title"], bars)
    points = [Point(row["value"], row["accuracy"], row["interval"]) for row in sweep["rows"]]
    return line_chart(sweep["title"], [("model", points)], x_name=sweep["axis"], y_name="accuracy, %")


def data_html(found: Found) -> str:
    """Return the section of data: balance, audit, likely label errors."""
    return "".join(_data(each) for each in found["data"])


def _data(each: Found) -> str:
    most = max(each["classes"].values())
    bars = [Bar(name, float(count)) for name, count in each["classes"].items()]
    balance = bar_chart("Images of each class", bars, most=most, shown=lambda value: f"{value:,.0f}")
    errors = each["label_errors"]
    words = (
        f"The commonest class has {each['imbalance']:.1f} times the images of the rarest. Confident learning takes "
        f"{errors['count']:,} labels ({percent(errors['share'])}) for errors; often it is the "
        "model that is wrong, so look at them."
    )
    rows = [
        (row["key"], row["label"], row["predicted"], number(row["probability_of_label"], 4))
        for row in errors["worst"][:10]
    ]
    listed = table("The likeliest label errors", ("Image", "Label", "Model", "Probability of the label"), rows)
    heading = f"<h3>{text(each['name'])}, {text(each['split'])}</h3>"
    return heading + paragraph(words) + columns(balance + _audit(each["audit"]), listed)


def _audit(found: Found | None) -> str:
    if found is None:
        return paragraph("Not audited: expressnet audit NAME finds duplicates, leaks and conflicts.", "faint")
    names = {
        "equal_groups": "groups of equal images",
        "near_equal": "near-equal to another of the split",
        "near_equal_in_train": "with an equal or near-equal one in train",
        "equal_in_train": "of these byte for byte",
        "equal_images_with_different_labels": "groups of equal images with different labels, all splits",
        "blank": "blank",
    }
    return table("Audit", ("Finding", "Images"), [(words, number(found[name])) for name, words in names.items()])


def cost_html(found: Found, measured: Found | None) -> str:
    """Return the section of cost."""
    rows = [(name.replace("_", " "), _plain(found[name])) for name in found if name not in ("license", "classes")]
    parts = [table("What it is", ("", ""), rows)]
    if measured:
        low, high = measured["quartiles"]
        words = (
            f"One face takes {measured['milliseconds']:.2f} ms on one core ({low:.2f} to {high:.2f} in half of "
            f"the blocks); the process has {measured['peak_mib']:.0f} MiB at most, {measured['before_mib']:.0f} MiB "
            "before the model and its libraries are loaded. Measured on this computer, so it differs from run to run."
        )
        parts.append(paragraph(words))
    else:
        parts.append(paragraph("Times and memory are measured of networks, not of a baseline.", "faint"))
    if found.get("license"):
        parts.append(paragraph(f"Terms: {found['license']}", "faint"))
    return "".join(parts)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
