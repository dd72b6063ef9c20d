"""`expressnet bench PART`: each part measures itself against what bounds it, prints a table and writes JSON."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from expressnet_jax.bench import prediction_parts, result_tables
from expressnet_jax.bench.lines import aligned
from expressnet_jax.cli_args import image_size, key_and_value
from expressnet_jax.errors import UserError


def add_parts(bench: argparse.ArgumentParser) -> None:
    """Add a subparser for each part; each sets `measure`, arguments -> figures, and `table`, figures -> text."""
    parts = bench.add_subparsers(required=True, metavar="PART")

    def part(name: str, measure, table, text: str) -> argparse.ArgumentParser:
        sub = parts.add_parser(name, help=text, description=text)
        sub.add_argument("--json", type=Path, help="write the figures here")
        sub.set_defaults(measure=measure, table=table)
        return sub

    _input_parts(part)
    _training_parts(part)
    prediction_parts.add_parts(part)
    result_tables.add_parts(parts, part)


def _input_parts(part: Callable[..., argparse.ArgumentParser]) -> None:
    text = "The input pipeline against a bare NumPy gather of the same batches, or against bare decoding."
    sub = part("input", _input, _input_table, text)
    sub.add_argument("--reader", choices=("memory", "stream"), default="memory")
    sub.add_argument("--stored", type=image_size, default=112, help="stream: pixels a side of the JPEGs; default: 112")

    text = "Streaming of sets from thousands to millions of records: time an image, time to start, memory."
    sub = part("scale", _scale, _scale_table, text)
    sub.add_argument("--records", type=int, nargs="+", default=(10_000, 100_000, 1_000_000, 5_000_000))


def _compile_part(part: Callable[..., argparse.ArgumentParser]) -> None:
    text = "The training step compiled for devices that are not here: memory, kernels, bytes, exchanges, roofline."
    sub = part("compile", _compile, _compile_table, text)
    _network(sub, batch_size=512)
    sub.add_argument("--targets", nargs="+", default=["gpu:h200"], help="tpu:v5e:2x2, gpu:h100:8, ...")
    sub.add_argument("--optimizer", default="muon", help="default: muon")
    sub.add_argument("--channels", type=int, choices=(1, 3), default=1)
    sub.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    sub.add_argument("--steps", type=int, default=16, help="steps of one call of the program; default: 16")
    sub.add_argument("--remat", action="store_true", help="with train.remat: less memory, more arithmetic")
    text = "--batch_size is of each device; also how the speed grows with the devices"
    sub.add_argument("--per_device", action="store_true", help=text)
    sub.add_argument("--plot", type=Path, help="with --per_device: a PNG of it")


def _training_parts(part: Callable[..., argparse.ArgumentParser]) -> None:
    sub = part("train", _train, _train_table, "The training loop with its input against its bare step.")
    sub.add_argument("--data", default="synthetic", help="a prepared data set; default: generated faces")
    sub.add_argument("--data_dir", default="", help="where prepared data lives")
    sub.add_argument("--reader", default="auto", help="stream, memory, device; default: auto")
    _network(sub)

    sub = part("start", _start, _start_table, "From the start of a process to its first training step.")
    _network(sub)

    sub = part("step", _step, _step_table, "The training step against the machine's ceilings, and against PyTorch.")
    _network(sub)
    sub.add_argument("--channels", type=int, choices=(1, 3), default=1)
    sub.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    sub.add_argument("--steps_per_call", type=int, default=1)
    sub.add_argument(
        "--option", action="append", default=[], type=key_and_value, metavar="KEY=VALUE", help="of the model"
    )
    sub.add_argument("--augment", action="store_true", help="as a training on real data, on both sides")
    sub.add_argument("--against", choices=("torch",), default="", help="the same network there, in alternating blocks")
    sub.add_argument("--rounds", type=int, default=6, help="blocks each; default: 6")

    text = "One training step on one device and on several that share its cores: what the spreading costs."
    sub = part("devices", _devices, _devices_table, text)
    _network(sub, batch_size=512)
    sub.add_argument("--count", type=int, default=8, help="devices to cut the processor into; default: 8")

    _compile_part(part)

    text = "The update of the optimizer Muon, in the form made for a CPU against optax's."
    sub = part("muon", _muon, _muon_table, text)
    sub.add_argument("--model", default="resnet18")
    sub.add_argument("--size", type=image_size, default=48, help="pixels a side; default: 48")

    sub = part("adapt", _adapt, _adapt_table, "Adaptation steps against plain training, in source images a second.")
    _network(sub, batch_size=64)
    sub.add_argument("--methods", nargs="*", help="default: all that train")


def _network(sub: argparse.ArgumentParser, batch_size: int = 128) -> None:
    sub.add_argument("--model", default="expressnet_small")
    sub.add_argument("--size", type=image_size, default=48, help="pixels a side; default: 48")
    sub.add_argument("--batch_size", type=int, default=batch_size)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print and write."""
    from expressnet_jax.io import write_json

    figures = arguments.measure(arguments)
    print(arguments.table(figures))
    if arguments.json:
        print(f"wrote {write_json(arguments.json, figures)}")


def _input(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.input import bench_memory, bench_stream

    return bench_memory() if arguments.reader == "memory" else bench_stream(stored=arguments.stored)


def _input_table(figures: dict[str, Any]) -> str:
    speed = figures["images_per_second"]
    bare = {"memory": "bare NumPy gather", "stream": "bare decoding, one thread, times the cores"}[figures["reader"]]
    rows = [
        (f"{figures['reader']} reader through grain", f"{speed['pipeline']:,.0f} images/s"),
        (bare, f"{speed['bare']:,.0f} images/s"),
        *((title, f"{value:,.0f} images/s") for title, value in speed.items() if title not in ("pipeline", "bare")),
        ("ratio", f"{figures['ratio']:.2f} ({figures['least']:.2f} to {figures['most']:.2f})"),
    ]
    return aligned(rows)


def _devices(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.devices import bench_devices

    return bench_devices(arguments.model, arguments.count, size=arguments.size, batch_size=arguments.batch_size)


def _devices_table(figures: dict[str, Any]) -> str:
    found = figures["to_one_device"]
    rows = [(f"{number} devices", f"{speed:,.0f} images/s") for number, speed in figures["images_per_second"].items()]
    return aligned([*rows, ("ratio", f"{found['ratio']:.3f} ({found['least']:.3f} to {found['most']:.3f})")])


def _compile(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.compile import bench_compile

    if arguments.plot and not arguments.per_device:
        raise UserError("--plot: shows how the speed grows with the devices; give --per_device and several --targets")
    names = ("per_device", "model", "optimizer", "size", "channels", "batch_size", "dtype", "steps", "remat")
    figures = bench_compile(arguments.targets, **{name: getattr(arguments, name) for name in names})
    if arguments.plot:
        from expressnet_jax.bench.scaling import scaling_png

        title = f"{arguments.model}, {arguments.size} pixels, {arguments.batch_size} images a device"
        scaling_png(figures["scaling"], arguments.plot, title)
    return figures


def _compile_table(figures: dict[str, Any]) -> str:
    from expressnet_jax.accelerators.parts import part_table
    from expressnet_jax.accelerators.report import comparison
    from expressnet_jax.bench.scaling import scaling_table

    tables = [comparison(figures["targets"])]
    if len(figures["targets"]) == 1:
        tables.append(part_table(figures["targets"][0]))
    if "scaling" in figures:
        tables.append(scaling_table(figures["scaling"]))
    return "\n\n".join(tables)


def _muon(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.muon import bench_muon

    return bench_muon(arguments.model, size=arguments.size)


def _muon_table(figures: dict[str, Any]) -> str:
    found = figures["to_optax"]
    rows = [(title, f"{speed:,.2f} updates/s") for title, speed in figures["updates_per_second"].items()]
    return aligned([*rows, ("ratio", f"{found['ratio']:.2f} ({found['least']:.2f} to {found['most']:.2f})")])


def _adapt(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.adaptation.registry import METHODS
    from expressnet_jax.bench.adapt import bench_adapt
    from expressnet_jax.compile_cache import enable_compilation_cache

    enable_compilation_cache()
    adapting = {name: make() for name, make in METHODS.items()}
    methods = arguments.methods or [name for name, each in adapting.items() if each.trains and each.unlabelled]
    return bench_adapt(methods, network=arguments.model, size=arguments.size, batch_size=arguments.batch_size)


def _adapt_table(figures: dict[str, Any]) -> str:
    speeds, ratios = figures["images_per_second"], figures["to_plain"]
    found = lambda name: f" {ratios[name]['ratio']:.2f} of plain training" if name in ratios else ""
    return aligned([(name, f"{speed:,.0f} images/s{found(name)}") for name, speed in speeds.items()])


def _train(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.train import bench_train
    from expressnet_jax.config import augment_faces, default

    config = default()
    config.model.name = arguments.model
    config.data.update(name=arguments.data, dir=arguments.data_dir, reader=arguments.reader, size=arguments.size)
    config.train.batch_size = arguments.batch_size
    augment_faces(config)
    return bench_train(config)


def _train_table(figures: dict[str, Any]) -> str:
    rows = [(title, f"{speed:,.0f} images/s") for title, speed in figures["images_per_second"].items()]
    found = figures["loop_to_bare"]
    rows += [
        ("ratio", f"{found['ratio']:.3f} ({found['least']:.3f} to {found['most']:.3f})"),
        ("input wait", f"{figures['input_wait_ms']:.2f} ms, {100 * figures['input_wait_share']:.2f} % of a step"),
        ("from host to device, alone", f"{figures['to_device_ms']:.2f} ms"),
        ("compute", f"{figures['compute_ms']:.1f} ms"),
        ("checkpoint", f"holds {figures['save_holds_ms']:.0f} ms, written in {figures['save_written_ms']:.0f} ms"),
        ("a checkpoint a minute", f"costs {100 * figures['save_share']:.2f} % of the time"),
        ("peak memory", f"{figures['peak_memory_mib']:,.0f} MiB"),
    ]
    return aligned(rows)


def _scale(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.scale import bench_scale

    return bench_scale(sorted(arguments.records))


def _scale_table(figures: dict[str, Any]) -> str:
    lines = [f"{'records':>12s}{'us an image':>14s}{'ratio':>8s}{'start s':>10s}{'MiB then':>10s}{'MiB later':>11s}"]
    for size, found in figures["records"].items():
        lines.append(
            f"{int(size):12,d}{found['us_per_image']:14.1f}{found['ratio']:8.2f}{found['start_seconds']:10.2f}"
            f"{found['start_mib']:10,.0f}{found['end_mib']:11,.0f}"
        )
    return "\n".join(lines)


def _start(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.start import bench_start

    return bench_start(arguments.model, size=arguments.size, batch_size=arguments.batch_size)


def _start_table(figures: dict[str, Any]) -> str:
    titles = {"help": "expressnet --help", "import": "import", "first_step": "to the end of the first step"}
    titles["first_step_cached"] = "the same with a warm compile cache"
    return aligned([(titles[name], f"{seconds:.1f} s") for name, seconds in figures["seconds"].items()])


def _step(arguments: argparse.Namespace) -> dict[str, Any]:
    from expressnet_jax.bench.step import bench_step
    from expressnet_jax.config import augment_faces, default

    augment = {}
    if arguments.augment:
        config = default()
        config.data.size = arguments.size
        augment_faces(config)
        config.augment.random_erasing = 0.0
        augment = {name: value for name, value in config.augment.to_dict().items() if value}
    names = ("size", "channels", "batch_size", "dtype", "steps_per_call")
    options = {name: getattr(arguments, name) for name in names}
    options |= {"augment": augment, "model_options": dict(arguments.option)}
    return bench_step(arguments.model, against=arguments.against, rounds=arguments.rounds, **options)


def _step_table(figures: dict[str, Any]) -> str:
    rows = [(title, f"{speed:,.0f} images/s") for title, speed in figures["images_per_second"].items()]
    rows += [
        (f"ratio to {title}", f"{found['ratio']:.2f} ({found['least']:.2f} to {found['most']:.2f})")
        for title, found in figures["against"].items()
    ]
    rows += [
        ("step", f"{figures['step_ms']:.1f} ms, {figures['flops_per_step'] / 1e9:.1f} GFLOP"),
        ("share of a matrix product's speed", f"{100 * figures['mfu']:.0f} %"),
        ("share of a copy's speed", f"{100 * figures['bandwidth_share']:.0f} %"),
        ("memory", f"{figures['memory_bytes'] / 2**20:,.0f} MiB"),
        ("compile", f"{figures['compile_seconds']:.1f} s"),
    ]
    return aligned(rows)
