"""Trains what a config describes: python -m expressnet_jax.main --config configs/fer2013.py --workdir runs/fer2013."""

import json
import os
import sys
import traceback
from pathlib import Path

from absl import app, flags

from expressnet_jax import run_flags
from expressnet_jax.cluster import CollectiveError, exit_process, is_main_process, join_cluster, peer_failure
from expressnet_jax.cpu import tune_cpu
from expressnet_jax.errors import Interrupted, UserError, quiet_logging, system_line
from expressnet_jax.process import expanded, settle_process
from expressnet_jax.tasks import experiment_builder, run_config


def _define_flags() -> None:
    """Define --config with its overrides (--config.train.batch_size=64) and --workdir."""
    from ml_collections import config_flags

    config_flags.DEFINE_config_file("config", None, "What to train: a file of configs/.", lock_config=True)
    flags.DEFINE_string(
        "workdir", None, "Where checkpoints, metrics and reports go; an unfinished run there is resumed."
    )
    flags.DEFINE_bool("dry_run", False, "Compile the step, say what memory and time the run would take, and stop.")
    flags.DEFINE_string(
        "target", "", "With --dry_run: compile for a device that need not be here: tpu:v5e:2x2, gpu:h200, gpu:h100:8."
    )
    flags.DEFINE_string(
        "distributed", "auto", "Join the other processes of this run: auto, on or off; see launch/README.md."
    )


def main(_) -> int:
    """Train, report, and export if the config says so. Exit status 0, 2 for what a user can fix, 128 + signal.

    Of several processes, one that ends alone ends at once: JAX's runtime then ends the others.
    """
    if not flags.FLAGS["verbosity"].present:
        quiet_logging()
    config, workdir = flags.FLAGS.config, Path(flags.FLAGS.workdir or ".")
    try:
        workdir = expanded(workdir)
        if flags.FLAGS.target:
            return compile_for_target(config, flags.FLAGS.target, flags.FLAGS.dry_run)
        join_cluster(flags.FLAGS.distributed)
        if flags.FLAGS.dry_run:
            return dry_run(config)
        files = run_config(config, workdir, began=0.0)  # the process is the run
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, CollectiveError) else exit_process(2)
    except Interrupted as stop:
        if is_main_process():
            print(stop, file=sys.stderr)
        return 128 + stop.signum
    except KeyboardInterrupt:
        print(f"stopped; the same command resumes from the last checkpoint in {workdir}", file=sys.stderr)
        return 130
    except Exception as error:
        if lost := peer_failure(error):
            print(f"error: {lost}; the same command on all of them resumes from there", file=sys.stderr)
        elif isinstance(error, OSError):
            print(f"error: {system_line(error)}", file=sys.stderr)
        else:
            traceback.print_exc()
        return exit_process(1)
    if files:
        print("\n".join(["", *(f"wrote {path}" for path in files)]))
    return 0


def dry_run(config) -> int:
    """Print what a run would need. Exit status 0."""
    from expressnet_jax.compile_cache import enable_compilation_cache
    from expressnet_jax.training.cost.dry_run import dry_run

    enable_compilation_cache()
    print("\n".join(dry_run(config, experiment_builder(config))))
    return 0


def compile_for_target(config, text: str, dry: bool) -> int:
    """Print what the run's step is on a device that need not be here, compiled in a process for the target.

    Exit status 0.
    """
    from expressnet_jax.accelerators.target import IN_CHILD, parse_target

    if not dry:
        raise UserError(f"--target {text}: only compiles; give --dry_run with it, or leave it out to train")
    target = parse_target(text)
    if os.environ.get(IN_CHILD) == text:
        from expressnet_jax.training.cost.compile_step import compile_run

        print(json.dumps(compile_run(config, experiment_builder(config), target)))
        return 0
    from expressnet_jax.accelerators.compiler_process import run_compiler
    from expressnet_jax.accelerators.report import target_lines

    figures = run_compiler(target, sys.orig_argv[1:])
    print("\n".join(target_lines(figures)))
    return 0


if __name__ == "__main__":
    settle_process()
    tune_cpu()
    _define_flags()
    app.run(main, flags_parser=run_flags.parse)
