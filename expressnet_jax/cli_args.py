"""What the command lines of this project have in common."""

import argparse
import json
from pathlib import Path
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, where argparse also prints the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


BOOLEANS = {"True": "true", "False": "false"}  # Python's words -> JSON's


def key_and_value(text: str) -> tuple[str, Any]:
    """Split `size=64` -> ("size", 64): numbers and JSON as such, everything else as text."""
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r}: write KEY=VALUE")
    try:
        return key, json.loads(BOOLEANS.get(value, value))
    except json.JSONDecodeError:
        return key, value


def image_size(text: str) -> int:
    """Return pixels a side that the networks are built for."""
    from expressnet_jax.config import LARGEST, SMALLEST

    if not text.isdecimal() or not SMALLEST <= int(text) <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {SMALLEST} to {LARGEST}")
    return int(text)


def data_dir(sub: argparse.ArgumentParser) -> None:
    """Add --data_dir."""
    sub.add_argument(
        "--data_dir", type=Path, help="where prepared data lives; default: $EXPRESSNET_DATA or ~/expressnet_data"
    )


def json_option(sub: argparse.ArgumentParser) -> None:
    """Add --json [FILE]."""
    text = "write the list as JSON to this file; without a FILE, print it"
    sub.add_argument("--json", nargs="?", const="-", metavar="FILE", help=text)


def write_rows(target: str, name: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as JSON for the target "-", else write {name: rows} to that file and say so."""
    from expressnet_jax.io import write_json

    if target == "-":
        print(json.dumps(rows, indent=2))
    else:
        print(f"wrote {write_json(Path(target), {name: rows})}")
