"""The exceptions that reach a user; the commands print them without a traceback."""

import signal


class UserError(Exception):
    """What a user can mend: one line that names the file or key and the remedy. Exit status 2."""


class Interrupted(Exception):
    """A run was asked to stop by `signum` and has saved at `step`. Exit status 128 + signum."""

    def __init__(self, signum: int, step: int):
        name = signal.Signals(signum).name
        super().__init__(f"stopped at step {step} by {name}; the same command goes on from there")
        self.signum, self.step = signum, step
