"""The command `expressnet completion`: a script that completes commands, flags and their values, for one's shell."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from expressnet_jax.errors import UserError

SHELLS = ("bash", "zsh", "fish")


def add_command(
    command: Callable[..., argparse.ArgumentParser], make_parser: Callable[[], argparse.ArgumentParser]
) -> None:
    """Add the command; `command` (name, function, text, uses_jax) makes a subparser; `make_parser` the parser that is
    completed."""
    text = "Print a script that completes commands and flags in a shell."
    sub = command("completion", lambda arguments: print(script(make_parser(), arguments.shell)), text, uses_jax=False)
    sub.add_argument("shell", choices=SHELLS)


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script of a shell for a parser and all of its subparsers; nothing of it runs this package.

    Raises:
      UserError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise UserError("completion: needs shtab; pip install 'expressnet-jax[completion]'") from error
    for action in _actions(parser):
        if action.type is Path or action.metavar in ("FILE", "FOLDER"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell=shell)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in set(action.choices.values()):
                yield from _actions(sub)
        else:
            yield action
