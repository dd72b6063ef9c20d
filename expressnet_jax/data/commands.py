"""The command of `expressnet` about what is stored: data."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from expressnet_jax.cli_args import data_dir, json_option, write_rows
from expressnet_jax.errors import UserError
from expressnet_jax.process import expanded, temporary_folder

if TYPE_CHECKING:
    from expressnet_jax.data.manage import Entry
    from expressnet_jax.data.prepared import Prepared

_ACTIONS = ("list", "remove")


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text, uses_jax) makes a subparser."""
    text = "List the prepared data sets with their size and last use, or remove some."
    sub = command("data", data, text, uses_jax=False)
    sub.add_argument("action", nargs="?", choices=_ACTIONS, default="list", help="default: list")
    sub.add_argument("names", nargs="*", metavar="NAME[@ID]", help="only these; the first digits of an ID are enough")
    sub.add_argument("--unused", type=_days, metavar="DAYS", help="only what no command has read for so many days")
    json_option(sub)
    data_dir(sub)


def data(arguments: argparse.Namespace) -> None:
    from expressnet_jax.data import manage
    from expressnet_jax.data.store import default_data_dir

    folder = arguments.data_dir or default_data_dir()
    found = manage.entries(expanded(folder))
    if arguments.action == "remove":
        _remove(found, arguments)
        return
    chosen = [entry for name in arguments.names for entry in manage.named(found, name)] if arguments.names else found
    chosen = manage.idle(chosen, arguments.unused)
    if arguments.json != "-":
        print(manage.table(chosen) if chosen else f"no prepared data set in {folder}")
    if arguments.json:
        write_rows(arguments.json, "sets", [entry.figures for entry in chosen])


def _remove(found: "list[Entry]", arguments: argparse.Namespace) -> None:
    """Remove sets: of a name with several, all idle ones with --unused; without it, one has to be named."""
    from expressnet_jax.data import manage

    names, days = arguments.names, arguments.unused
    if days is None:
        if not names:
            raise UserError("data remove: give NAME[@ID] or --unused DAYS; `expressnet data` lists what there is")
        chosen = [manage.only(found, name) for name in names]
    else:
        chosen = [entry for name in names for entry in manage.named(found, name)] if names else found
        chosen = manage.idle(chosen, days)
    for entry in chosen:
        manage.remove(entry)
        print(f"removed {entry.label}: {manage.size(entry.bytes)} are free")


def _days(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days") from None


def load_images(arguments: argparse.Namespace, name: str):
    """Return what `load_named` does.

    Raises:
      UserError: the data set holds no images.
    """
    prepared = load_named(arguments, name)
    if prepared.holds != "images":
        raise UserError(f"{prepared.name}: holds {prepared.holds}; this command looks at images")
    return prepared


def load_named(arguments: argparse.Namespace, name: str):
    """Return the prepared data set in --data_dir that NAME or NAME@IDENTITY says, held until the process ends."""
    from expressnet_jax.data.readers import hold
    from expressnet_jax.data.store import default_data_dir, load

    return hold(load(name, arguments.data_dir or default_data_dir()))


@contextmanager
def open_data(given: str, data_dir: Path | None, skip_bad: bool = False) -> "Iterator[Prepared]":
    """Give the prepared data set that NAME or NAME@IDENTITY says, or a folder, prepared for the moment.

    Raises:
      UserError: neither, or a folder with images that can't be used (with `skip_bad` they are left out).
    """
    from expressnet_jax.data.prepare import prepare
    from expressnet_jax.data.readers import hold
    from expressnet_jax.data.remarks import remarks
    from expressnet_jax.data.store import default_data_dir, load

    folder = data_dir or default_data_dir()
    is_stored = Path(given).name == given and (folder / given.partition("@")[0]).is_dir()
    if is_stored or not Path(given).exists():
        yield hold(load(given, folder))
        return
    with temporary_folder() as made:
        prepared = prepare("folder", Path(given), made, skip_bad=skip_bad)
        for line in remarks(given, prepared.facts["notes"]):
            print(line, file=sys.stderr)
        yield prepared
