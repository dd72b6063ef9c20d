"""The sections about what breaks the model and what it looks at: robustness, explanation."""

from collections.abc import Mapping
from typing import Any

from expressnet_jax.report.page.charts import Bar, Point, bar_chart, line_chart
from expressnet_jax.report.page.elements import columns, heat_table, number, paragraph, percent, table, text

Found = Mapping[str, Any]
LEVELS = ("1", "2", "3", "4", "5")
_NO_GRADIENTS = (
    "Grad-CAM and integrated gradients need a network's checkpoint (--checkpoint with an ONNX file). A baseline has "
    "neither gradients nor weights to shuffle."
)


def robustness_html(found: Found) -> str:
    """Return the section of robustness: corruptions, what covers a face, cut-out parts, degradations."""
    corruptions = found["corruptions"]
    accuracy = [[1 - error for error in line] for line in corruptions["errors"].values()]
    names = [name.replace("_", " ") for name in corruptions["errors"]]
    caption = f"Accuracy in per cent under each corruption and level ({corruptions['library']})"
    clean = found["clean"]["accuracy"]
    covers = [Bar(name, f["accuracy"], f["interval"]) for name, f in found["covers"].items()]
    cuts = [Bar(f"without {name}", f["accuracy"], f["interval"]) for name, f in found["cutouts"].items()]
    mark = (clean, "as it is")
    return "".join(
        [
            paragraph(_summary(found)),
            columns(heat_table(caption, "corruption", names, LEVELS, accuracy), _ce_table(corruptions)),
            "<h3>Covered faces</h3>",
            paragraph(f"{found['degraded_count']:,} images; landmarks: {found['landmarks']}.", "faint"),
            columns(
                bar_chart("Accuracy with something in front of the face", covers, mark=mark),
                bar_chart("Accuracy with one part of the face cut out", cuts, mark=mark),
            ),
            "<h3>Pixels, compression, light</h3>",
            columns(*(_sweep(sweep) for sweep in found["sweeps"].values())),
        ]
    )


def _summary(found: Found) -> str:
    c = found["corruptions"]
    words = (
        f"On {c['count']:,} images of {found['name']} the mean accuracy under 15 corruptions in 5 levels is "
        f"{percent(1 - c['mean_error'])}, on the same images as they are {percent(1 - c['clean_error'])}."
    )
    if c.get("mce") is not None:
        words += (
            f" Against {c['against']['name']} ({percent(1 - c['against']['mean_error'])} under corruptions) the mean "
            f"corruption error mCE is {100 * c['mce']:.1f} %: below 100 the errors are fewer than that model's."
        )
        if c.get("relative_mce") is not None:
            words += f" Relative mCE, of what is lost against clean images: {100 * c['relative_mce']:.1f} %."
    return words


def _ce_table(found: Found) -> str:
    ce = found.get("ce")
    heads = ("Corruption", "Mean error", *(("CE",) if ce else ()))
    rows = [
        (name.replace("_", " "), percent(sum(line) / len(line)), *((percent(ce[name]),) if ce else ()))
        for name, line in sorted(found["errors"].items(), key=lambda item: -sum(item[1]))
    ]
    return table("What breaks it, the worst first", heads, rows)


def _sweep(sweep: Found) -> str:
    points = [Point(row["value"], row["accuracy"], row["interval"]) for row in sweep["rows"]]
    ordered = sorted(points, key=lambda point: point.x)
    return line_chart(sweep["title"], [("model", ordered)], x_name=sweep["unit"], y_name="accuracy, %", even=True)


def explanation_html(found: Found) -> str:
    """Return the section of explanation: maps, and whether they say anything about the model."""
    words = (
        f"Deletion, on {found['photographs']} photographs of {found['name']}: the mean probability of the "
        f"answer while the "
        "map's highest places are wiped out first (lower is better); insertion: while they come back first (higher is "
        "better). Pointing: how often the highest place lies in a region that the expression's action units move; IoU: "
        "the overlap with it at equal area. A map that is the same when the network's weights are shuffled (rank "
        "correlation near 1) says nothing about the model."
    )
    rows = [*found["methods"].values(), found["random"] | {"title": "random map"}]
    heads = ("Map", "Deletion", "Insertion", "Correlation when shuffled")
    cells = [
        (row["title"], *(number(row.get(key)) for key in ("deletion", "insertion", "rank_correlation_when_shuffled")))
        for row in rows
    ]
    parts = [
        paragraph(words),
        table("Does the map say what the answer rests on?", heads, cells),
        _regions(found, rows),
    ]
    if "grad_cam" not in found["methods"]:
        parts.append(paragraph(_NO_GRADIENTS, "faint"))
    if drawn := found.get("picture"):
        uri, names = drawn
        shown = text(", ".join(names))
        parts.append(
            f"<figure><figcaption>Generated faces and their maps, from the top: {shown}</figcaption>"
            f'<img alt="Rows of generated faces and of maps over them: {shown}" src="{uri}"></figure>'
        )
    return "".join(parts)


def _regions(found: Found, rows: list[Found]) -> str:
    keys = ("pointing_generated", "iou_generated", "pointing_photographs", "iou_photographs")
    shown = lambda row: (percent(row[keys[0]]), number(row[keys[1]]), percent(row[keys[2]]), number(row[keys[3]]))
    heads = ("Map", "Pointing, generated", "IoU, generated", "Pointing, photographs", "IoU, photographs")
    caption = (
        f"Does it find the muscles? {found['generated']} generated faces with known regions; "
        f"{found['photographs_with_regions']} photographs, regions from landmarks"
    )
    return table(caption, heads, [(row["title"], *shown(row)) for row in rows])
