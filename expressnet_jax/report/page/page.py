"""The whole page from the report's JSON."""

from collections.abc import Callable, Mapping
from string import Template
from typing import Any

from expressnet_jax.report.page.elements import between, cards, percent, text
from expressnet_jax.report.page.people import cost_html, data_html, fairness_html
from expressnet_jax.report.page.performance import calibration_html, figures_html, pairs_html
from expressnet_jax.report.page.stress import explanation_html, robustness_html
from expressnet_jax.report.page.style import PAGE

TITLES = {
    "figures": "How good it is",
    "calibration": "What its probabilities are worth",
    "pairs": "What it takes for what",
    "robustness": "What breaks it",
    "explanation": "What it looks at",
    "fairness": "For whom it works",
    "data": "What is wrong with the data",
    "cost": "What it costs",
}
_RENDERERS: dict[str, Callable[[Any], str]] = {
    "figures": figures_html,
    "calibration": calibration_html,
    "pairs": pairs_html,
    "robustness": robustness_html,
    "explanation": explanation_html,
    "fairness": fairness_html,
    "data": data_html,
}
_NOTICE = (
    "The model predicts the label that annotators gave to the expression shown. It does not detect what a "
    "person feels, "
    "and these figures are no licence to judge people by it."
)


def render(
    report: Mapping[str, Any], measured: Mapping[str, Any] | None, picture: tuple[str, list[str]] | None = None
) -> str:
    """Return the page. `measured` is what differs between runs; `picture` a data URI of
    the maps of generated faces with the names of its rows."""
    sections = report["sections"]
    body = []
    for name in [each for each in TITLES if each in sections]:
        found = sections[name]
        if name == "cost":
            inner = cost_html(found, measured)
        else:
            inner = _RENDERERS[name](found | {"picture": picture} if name == "explanation" else found)
        body.append(f'<section aria-labelledby="{name}"><h2 id="{name}">{TITLES[name]}</h2>{inner}</section>')
    links = "".join(f'<li><a href="#{name}">{TITLES[name]}</a></li>' for name in TITLES if name in sections)
    sets = ", ".join(f"{each['name']} ({each['split']}, {each['count']:,} images)" for each in report["data"])
    mode = "quick: samples, so intervals are wide" if report["quick"] else "full"
    return Template(PAGE).substitute(
        title=text(f"Report of {report['model']['name']}"),
        subtitle=text(f"{report['model']['network']}, measured on {sets}; {mode}."),
        cards=cards(_headline(sections)),
        notice=text(_NOTICE),
        links=links,
        sections="\n".join(body),
        footer=text(
            f"expressnet report {report['version']}; model {report['model']['identity']}. "
            "Every figure stands in report.json; times and memory in measured.json."
        ),
    )


def _headline(sections: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figures that a reader wants first: (figure, what it is, a remark)."""
    rows = []
    if "figures" in sections:
        first = sections["figures"]["data"][0]
        where = f"{first['name']}, {between(first['accuracy_interval'])}"
        rows.append((percent(first["accuracy"]), "accuracy", where))
        rows.append((percent(first["balanced_accuracy"]), "balanced accuracy", "mean recall of the classes"))
    if "calibration" in sections:
        rows.append((percent(sections["calibration"]["data"][0]["ece_equal_mass"]), "calibration error", "equal mass"))
    if "robustness" in sections:
        c = sections["robustness"]["corruptions"]
        remark = (
            f"mCE {100 * c['mce']:.0f} % of {c['against']['name']}" if c.get("mce") else "mean of 15 x 5 corruptions"
        )
        rows.append((percent(1 - c["mean_error"]), "accuracy under corruptions", remark))
    if "fairness" in sections:
        sweeps = sections["fairness"]["generated"]["sweeps"]
        worst = max(sweeps.values(), key=lambda sweep: sweep["gap"])
        rows.append((percent(worst["gap"]), "largest gap, generated faces", worst["title"]))
    return rows
