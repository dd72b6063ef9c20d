"""A process that compiles for one target, in the environment that the target's compiler needs."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from expressnet_jax.accelerators.target import Target, check_compiler, compiler_environment
from expressnet_jax.errors import UserError, one_line


def run_compiler(target: Target, command: Sequence[str]) -> dict[str, Any]:
    """Run Python with `command`, whose last line of output is a JSON object, and return that object.

    What the compilers log on stderr is shown only where the process fails.

    Raises:
      UserError: the compiler is not installed, or what the process itself refused.
    """
    check_compiler(target)
    print(f"compiling for {target.text}, which takes minutes", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, *command], env=compiler_environment(target, os.environ), capture_output=True, text=True
    )
    if done.returncode == 0 and done.stdout.strip():
        return json.loads(done.stdout.splitlines()[-1])
    refused = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    if refused:
        raise UserError(refused[-1])
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
    raise UserError(f"--target {target.text}: the compiler ended with status {done.returncode}: {one_line(last, 500)}")
