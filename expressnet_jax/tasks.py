"""What a config can train, and a whole run of it: training, report, ONNX file."""

from importlib import import_module
from pathlib import Path
from typing import Any

from expressnet_jax.errors import UserError

TASKS = {
    "classification": "expressnet_jax.training.classification",
    "identity": "expressnet_jax.training.identity",
    "adaptation": "expressnet_jax.adaptation.experiment",
}


def experiment_builder(config) -> Any:
    """Return what makes the experiment of a config's task.

    Raises:
      UserError: no such task.
    """
    if config.task not in TASKS:
        raise UserError(f"task: no {config.task!r}; one of {', '.join(TASKS)}")
    return import_module(TASKS[config.task]).build_experiment


def run_config(config, workdir: Path, began: float | None = None) -> list[Path]:
    """Train, report, export if the config says so, and return the files that were written next to the checkpoints.

    The process that leads writes them; the others return none. `began`: see `training.loop.train`.
    """
    from expressnet_jax.cluster import is_main_process
    from expressnet_jax.compile_cache import enable_compilation_cache
    from expressnet_jax.training.loop import train

    enable_compilation_cache()
    experiment = train(config, workdir, experiment_builder(config), began=began)
    if not is_main_process():
        return []
    checkpoint, files = experiment.finish(workdir)
    if config.export:
        from expressnet_jax.export.onnx_export import export_onnx

        output = workdir / config.export
        export_onnx(checkpoint, output, images=experiment.sample_images(checkpoint.shape))
        files.append(output)
    return files
