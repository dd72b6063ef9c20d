"""A process that works on request, so that two kinds of processes can take turns."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from expressnet_jax.errors import UserError


class Peer:
    """A process that runs `serve`: called with a number of steps it does them and gives the seconds.

    Attributes:
      facts: what it reported when it was ready.
    """

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None):
        self.module = module
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.input: Any = self.process.stdin
        self.output: Any = self.process.stdout
        self.facts = json.loads(self._answer())

    def __call__(self, steps: int) -> float:
        print(steps, file=self.input, flush=True)
        return float(self._answer())

    def close(self) -> None:
        self.input.close()
        self.process.wait()
        self.output.close()

    def _answer(self) -> str:
        line = self.output.readline()
        if not line:
            raise UserError(f"{self.module} ended with status {self.process.wait()}; its message is above")
        return line


def serve(facts: Mapping[str, Any], work: Callable[[int], float]) -> None:
    """Serve the other side of a Peer: `work`, a number of steps -> seconds, until nobody asks any more."""
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        print(work(int(line)), flush=True)
