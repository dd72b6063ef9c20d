"""The `expressnet` command: all but the training of a config, which is `python -m expressnet_jax.main`.

It parses, calls one function of a module, and prints.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from expressnet_jax import __version__, completion
from expressnet_jax.adaptation import commands as adaptation_commands
from expressnet_jax.baselines import commands as baseline_commands
from expressnet_jax.bench import commands as bench_commands
from expressnet_jax.cli_args import Parser, data_dir, image_size, json_option, key_and_value, write_rows
from expressnet_jax.data import commands as data_commands
from expressnet_jax.data.commands import load_images, open_data
from expressnet_jax.data.datasets import SOURCES
from expressnet_jax.errors import UserError, quiet_logging, system_line
from expressnet_jax.export import average_command, import_command
from expressnet_jax.export import commands as export_commands
from expressnet_jax.finetune import commands as finetune_commands
from expressnet_jax.folds import commands as folds_commands
from expressnet_jax.inference import commands as inference_commands
from expressnet_jax.process import settle_process
from expressnet_jax.report import commands as report_commands
from expressnet_jax.sweeps import commands as sweep_commands
from expressnet_jax.web import commands as web_commands

if TYPE_CHECKING:
    from expressnet_jax.data.prepared import Split


def main(argv: list[str] | None = None) -> int:
    """Run the command; return exit status 0, 2 for what a user can fix, 130 after Ctrl-C. With `argv` it is called from
    somebody's program."""
    if argv is None:
        settle_process()
    arguments = parser().parse_args(argv)
    if argv is None:
        quiet_logging()  # after the parser: --help needs neither absl nor packages' versions
        if arguments.uses_jax:
            from expressnet_jax.cpu import tune_cpu

            tune_cpu()
    try:
        status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does; so may the rest of the output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {system_line(error)}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """Return a parser with one subparser a command."""
    top = Parser(prog="expressnet", description=__doc__.splitlines()[0])
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable, text: str, uses_jax: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run, uses_jax=uses_jax)
        return sub

    _add_data_commands(command)
    _add_checkpoint_commands(command)
    adaptation_commands.add_commands(command)
    baseline_commands.add_command(command)
    export_commands.add_command(command)
    import_command.add_command(command)
    average_command.add_command(command)
    inference_commands.add_commands(command)
    web_commands.add_command(command)
    finetune_commands.add_command(command)
    report_commands.add_command(command)
    folds_commands.add_command(command)
    sweep_commands.add_command(command)

    sub = command("bench", bench_commands.run, "Measure a part of the trainer against what bounds it.")
    bench_commands.add_parts(sub)
    completion.add_command(command, parser)
    return top


def _add_checkpoint_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    sub = command("evaluate", evaluate, "Say honestly how good a checkpoint is on a split.")
    several = "a run's workdir or one of its checkpoints; of several, the mean of their answers"
    sub.add_argument("--checkpoint", required=True, nargs="+", help=several)
    sub.add_argument("--data", required=True, help="a prepared data set, or a folder of class-named folders")
    sub.add_argument("--split", help="default: the first that exists of test, validation, all and train")
    sub.add_argument("--skip_bad", action="store_true", help="of a folder, leave out images that can't be used")
    sub.add_argument("--tta", default="none", help="none, flip or ten_crop")
    sub.add_argument("--json", type=Path, help="write the figures here")
    sub.add_argument("--report", type=Path, help="write confusion.png and error_gallery.html into this folder")
    data_dir(sub)

    sub = command("summary", summary, "Put finished runs together that differ in their seed.", uses_jax=False)
    sub.add_argument("workdirs", nargs="+", type=Path, metavar="WORKDIR")
    sub.add_argument("--mark", type=float, help="say how many seeds reach this accuracy (0.70)")
    sub.add_argument("--json", type=Path, help="write the figures here")

    sub = command("models", models, "List the models: parameters, arithmetic, features.")
    sub.add_argument("name", nargs="?", help="show this one's layers")
    sub.add_argument("--size", type=image_size, default=48, help="pixels a side of an image; default: 48")
    sub.add_argument("--channels", type=int, choices=(1, 3), default=1, help="1 is gray, 3 is RGB; default: 1")
    sub.add_argument("--onnx", action="store_true", help="also the size of their ONNX files, seconds a model")
    json_option(sub)

    sub = command("runs", runs, "List the runs below a folder: how far they are, how good.", uses_jax=False)
    sub.add_argument("folder", type=Path, help="a folder that holds the --workdir of runs, at any depth")
    json_option(sub)


def _add_data_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    sub = command("prepare", prepare, "Check a data set's files once and store them for training.", uses_jax=False)
    sub.formatter_class = argparse.RawDescriptionHelpFormatter
    sub.epilog = "what is read as --source:\n" + "\n".join(f"  {name:<15} {text}" for name, text in SOURCES.items())
    sub.add_argument("name", help=", ".join(SOURCES))
    sub.add_argument("--source", type=Path, help="the file or folder that you have, or a folder above it")
    sub.add_argument("--name", dest="stored_as", help="what to store it as, of folder, identity, meshes and synthetic")
    options = "of the data set, such as classes=7 of affectnet or label_names=anger,fear,... of folder (for 0, 1, ...)"
    sub.add_argument("--option", action="append", default=[], type=key_and_value, metavar="KEY=VALUE", help=options)
    text = "through Apache Beam, with these options of its pipeline, such as --beam='--runner=DirectRunner'"
    sub.add_argument("--beam", nargs="?", const="", metavar="OPTIONS", help=text)
    sub.add_argument("--skip_bad", action="store_true", help="leave out images that can't be used, and name them")
    sub.add_argument("--overwrite", action="store_true", help="prepare again even if nothing seems to have changed")
    data_dir(sub)

    sub = command("audit", audit, "Find duplicates, leaks between splits, conflicting labels.", uses_jax=False)
    sub.add_argument("name")
    data_dir(sub)

    data_commands.add_command(command)

    sub = command("show", show, "Write a labelled grid of images, or of clips, to look at before training.")
    sub.add_argument("name")
    sub.add_argument("--split", help="default: train, or all")
    sub.add_argument("--augment", action="store_true", help="as a training on real data sees them")
    sub.add_argument("--effects", action="store_true", help="each augmentation by itself instead")
    sub.add_argument("--output", type=Path, required=True, help="a PNG")
    data_dir(sub)


def prepare(arguments: argparse.Namespace) -> None:
    import shlex

    from expressnet_jax.data import prepare as preparation
    from expressnet_jax.data.remarks import remarks
    from expressnet_jax.data.store import default_data_dir
    from expressnet_jax.errors import shorten

    options = dict(arguments.option)
    if arguments.stored_as:
        options["name"] = arguments.stored_as
    folder = arguments.data_dir or default_data_dir()
    beam = None if arguments.beam is None else shlex.split(arguments.beam)
    prepared = preparation.prepare(
        arguments.name, arguments.source, folder, arguments.overwrite, beam, skip_bad=arguments.skip_bad, **options
    )
    for line in remarks(prepared.name, prepared.facts["notes"]):
        print(line)
    counts = ", ".join(f"{name} {count:,}" for name, count in prepared.splits.items())
    print(f"{prepared.name}: {counts}; {len(prepared.classes)} classes: {shorten(prepared.classes)}")
    images = prepared.holds == "images"
    print(f"in {prepared.directory}" + (f"; next: expressnet audit {prepared.name}" if images else ""))


def audit(arguments: argparse.Namespace) -> None:
    from expressnet_jax.data import audit as auditing

    prepared = load_images(arguments, arguments.name)
    print(auditing.table(auditing.audit(prepared)))
    print(f"wrote {prepared.directory / 'audit.json'} and audit.txt next to it")


def show(arguments: argparse.Namespace) -> None:
    from expressnet_jax.config import augment_faces, default
    from expressnet_jax.data import show as display

    prepared = load_images(arguments, arguments.name)
    split = prepared.split(arguments.split or ("train" if "train" in prepared.splits else "all"))
    if frames := prepared.facts["notes"].get("frames"):
        path = _show_clips(arguments, split, frames)
    elif arguments.effects:
        path = display.show_augmentations(split, arguments.output)
    else:
        config = default()
        augment_faces(config)
        options = config.augment.to_dict() if arguments.augment else None
        path = display.show(split, arguments.output, augment_options=options, size=config.data.size)
    print(f"wrote {path}")


def _show_clips(arguments: argparse.Namespace, split: "Split", frames: int) -> Path:
    from expressnet_jax.data.show_clips import show_clips

    if arguments.augment or arguments.effects:
        raise UserError(f"{arguments.name} holds clips; --augment and --effects are shown of still images")
    return show_clips(split, frames, arguments.output)


def evaluate(arguments: argparse.Namespace) -> None:
    from expressnet_jax.data.fields import named_examples
    from expressnet_jax.evaluation.report import format_outputs, format_table
    from expressnet_jax.io import write_json
    from expressnet_jax.training.checkpoints.evaluate_checkpoint import trained_on_lines, write_report
    from expressnet_jax.training.checkpoints.evaluate_data import evaluate_data
    from expressnet_jax.training.checkpoints.reading import load_checkpoint

    checkpoints = [load_checkpoint(path) for path in arguments.checkpoint]
    checkpoint, what = checkpoints[0], named_examples(list(checkpoints[0].inputs))
    with open_data(arguments.data, arguments.data_dir, arguments.skip_bad) as prepared:
        result = evaluate_data(checkpoints, prepared, arguments.data, split=arguments.split, tta=arguments.tta)
        figures = result.figures
        title = f"{arguments.data}, {figures['split']}"
        models = " + ".join(each.metadata["model"]["name"] for each in checkpoints)
        print(format_table(figures, f"{models} on {title}"))
        if figures["left_out"]:
            print(f"{figures['left_out']:,} {what} left out: the model does not know their class")
        if "outputs" in figures:
            print("\n".join(["", *format_outputs(figures["outputs"])]))
        for line in trained_on_lines(figures["trained_on"], what):
            print(line)
        if arguments.json:
            print(f"wrote {write_json(arguments.json, figures)}")
        if arguments.report:
            for path in write_report(result, checkpoint, arguments.report, title):
                print(f"wrote {path}")


def summary(arguments: argparse.Namespace) -> None:
    from expressnet_jax.evaluation.seeds import format_summary, read_run, summarise_runs
    from expressnet_jax.io import write_json

    figures = summarise_runs({str(workdir): read_run(workdir) for workdir in arguments.workdirs})
    print(format_summary(figures, arguments.mark))
    if arguments.json:
        print(f"wrote {write_json(arguments.json, figures)}")


def models(arguments: argparse.Namespace) -> None:
    from expressnet_jax.models import inspect

    shape = (arguments.size, arguments.size, arguments.channels)
    if arguments.name:
        print(inspect.describe(arguments.name, shape))
        return
    from expressnet_jax.bench.model import as_onnx, untrained

    file_size = lambda name: len(as_onnx(untrained(name, shape)))
    rows = inspect.measure_models(shape, file_size=file_size if arguments.onnx else None)
    if arguments.json:
        write_rows(arguments.json, "models", list(rows))
        return
    for line in inspect.overview(rows, arguments.onnx):
        print(line, flush=True)


def runs(arguments: argparse.Namespace) -> None:
    from expressnet_jax.evaluation.list_runs import find_runs, table

    found = find_runs(arguments.folder)
    if arguments.json != "-":
        print(table(found) if found else f"no run in {arguments.folder}")
    if arguments.json:
        write_rows(arguments.json, "runs", found)


if __name__ == "__main__":
    sys.exit(main())
