"""A whole sweep, rung by rung. A killed one is resumed by the same call, and ends as if it had not been killed.

OUTPUT/sweep.json                        what was asked for; another sweep in the same folder is refused
OUTPUT/results.json, table.md, sweep.png written again after every run
"""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from expressnet_jax.config_differences import differences
from expressnet_jax.environment import machine
from expressnet_jax.errors import UserError
from expressnet_jax.io import write_bytes, write_json
from expressnet_jax.sweeps.grid import Grid, Point, check_grid, grid_points
from expressnet_jax.sweeps.halving import Rung, at_evaluations, best_of, make_rungs, rung_step, total_share
from expressnet_jax.sweeps.point_run import Outcome, train_point
from expressnet_jax.sweeps.results import best_run, line, sweep_png, table
from expressnet_jax.tasks import TASKS, experiment_builder
from expressnet_jax.training.loop import set_up
from expressnet_jax.training.program import StepCounts
from expressnet_jax.training.targets import selecting_metric
from expressnet_jax.training.validate import check_config

Say = Callable[[str], None]


def run_sweep(
    config: ConfigDict, grid: Mapping[str, Sequence[Any]], output: Path, *, halving: int = 0, say: Say = print
) -> dict[str, Any]:
    """Run what is missing of a sweep and return its results: a run for each combination of the grid's values.

    All are trained to their end, or with `halving` only the best 1 of so many continue at each rung. They are compared
    by `eval.metric` on the split that selects; no test split is looked at.

    Raises:
      UserError: anything that a user can fix, before the first run begins; what is finished stays.
      Interrupted: a run was stopped; the same call resumes it.
    """
    values = check_grid(grid)
    points = grid_points(config, values)
    plans = [_check(point) for point in points]
    counts = [(plan.total, plan.evaluate_every, plan.steps_per_call) for plan in plans]
    rungs = at_evaluations(make_rungs(len(points), halving), *counts[0])
    _claim(output, config, values, halving)
    say(f"{len(points)} runs, {total_share(rungs, len(points)):.3g} whole trainings in all")
    results = {"metric": selecting_metric(config), "data": config.data.name, "halving": halving, "machine": machine()}
    outcomes: dict[int, Outcome] = {}
    alive = [point.number for point in points]
    for level, rung in enumerate(rungs, start=1):
        for number in alive:
            step = rung_step(rung, *counts[number])
            folder = output / "runs" / points[number].name
            outcomes[number] = train_point(points[number], step, plans[number].total, folder)
            say(f"rung {level} of {len(rungs)}: {line(points[number], outcomes[number], str(results['metric']))}")
            results["runs"] = _rows(points, plans, outcomes)
            _write(results, points, rungs, output)
        alive = best_of({number: outcomes[number].value for number in alive}, rung.keep)
        if not alive:
            raise UserError(f"{output}: every run of rung {level} diverged; give lower optimizer.learning_rate")
    return results | {"best": best_run(results["runs"])}


def _check(point: Point) -> StepCounts:
    """Return the plan of a run; it is built, and nothing is compiled or written."""
    try:
        builder = experiment_builder(point.config)
        check_config(point.config, import_module(TASKS[point.config.task]).METRICS)
        _, experiment = set_up(point.config, builder)
    except UserError as error:
        raise UserError(f"{error} (run {point.name}: {point.title})") from error
    return experiment.plan


def _claim(output: Path, config: ConfigDict, grid: Grid, halving: int) -> None:
    path = output / "sweep.json"
    asked = {"grid": {key: list(values) for key, values in grid.items()}, "halving": halving}
    asked = json.loads(json.dumps(asked | {"config": config.to_dict()}))
    if path.is_file():
        old = json.loads(path.read_text(encoding="utf-8"))
        changed = [f"{key} was {old[key]}, now {asked[key]}" for key in ("grid", "halving") if old[key] != asked[key]]
        if changed := changed or differences(old["config"], asked["config"]):
            raise UserError(f"{output}: holds another sweep ({'; '.join(changed[:3])}); give another --output")
    write_json(path, asked)


def _rows(
    points: Sequence[Point], plans: Sequence[StepCounts], outcomes: Mapping[int, Outcome]
) -> list[dict[str, Any]]:
    """Return what is known of every run that has begun, as plain values."""
    rows = []
    for number, outcome in sorted(outcomes.items()):
        facts = {"run": points[number].name, "changes": points[number].changes, "total": plans[number].total}
        found = outcome._asdict()
        found["value"] = None if outcome.value != outcome.value else outcome.value
        rows.append(facts | found)
    return rows


def _write(results: dict[str, Any], points: Sequence[Point], rungs: Sequence[Rung], output: Path) -> None:
    write_json(output / "results.json", results | {"best": best_run(results["runs"])})
    write_bytes(output / "table.md", table(results, len(points)).encode())
    sweep_png(results, output, [rung.share for rung in rungs])
