"""Several processes as one run, through JAX's own distributed runtime: who they are, and what they agree on.

Every process is started with the same command. The first one leads: it alone prints, logs and reports. What one of them
finds wrong ends all of them, because otherwise the others would wait for it in the next step.
"""

import faulthandler
import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from expressnet_jax.errors import UserError, one_line

_MODES = ("auto", "on", "off")
ADDRESS, COUNT, NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
HEARTBEAT = "EXPRESSNET_HEARTBEAT"  # seconds without a sign of life after which a process counts as gone
# What launchers tell their processes: how many they are.
SIZES = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
_REPORT = 3600  # seconds that the others wait at the end for the one that writes the report


def join_cluster(mode: str = "auto") -> None:
    """Join the processes of the run. Call it before anything asks JAX for devices.

    `auto` joins where JAX_COORDINATOR_ADDRESS (host:port of the first process), JAX_NUM_PROCESSES and JAX_PROCESS_ID
    are set, in an SLURM step or under Open MPI with more than one task, and where TPU_WORKER_HOSTNAMES has several, as
    on a TPU slice of GKE; elsewhere the process stays alone. `on` leaves the search to JAX, which finds other Cloud
    TPU slices by asking the host's metadata server, and ends where it finds nothing.

    Raises:
      UserError: no such mode, variables that don't fit together, no cluster, or one that can't be reached.
    """
    if mode not in _MODES:
        raise UserError(f"--distributed: no {mode!r}; one of {', '.join(_MODES)}")
    given = _own_variables()
    if mode == "off" or (mode == "auto" and not given and not launched()):
        return
    silence = os.environ.get(HEARTBEAT, "100")
    if not silence.isdecimal() or not int(silence):
        raise UserError(f"{HEARTBEAT}={silence}; give whole seconds, 1 or more")
    import jax

    try:
        jax.distributed.initialize(**given, heartbeat_timeout_seconds=int(silence), shutdown_timeout_seconds=_REPORT)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"--distributed={mode}: {one_line(error)}; set {ADDRESS}, {COUNT} and {NUMBER}, or start it through SLURM,"
            " Open MPI or on a Cloud TPU"
        ) from error
    if not _is_single_process() and not os.environ.get("PYTHONFAULTHANDLER"):
        faulthandler.disable()  # JAX's runtime ends this process when another is gone: pages would hide its line


def _own_variables() -> dict[str, Any]:
    """Return jax.distributed.initialize's arguments, where the environment has them; nothing where it has none.

    Raises:
      UserError: only some of the variables are set, or they make no sense.
    """
    given = {name: os.environ[name] for name in (ADDRESS, COUNT, NUMBER) if os.environ.get(name)}
    if not given:
        return {}
    if missing := [name for name in (ADDRESS, COUNT, NUMBER) if name not in given]:
        raise UserError(f"{', '.join(given)} set, but not {', '.join(missing)}; set all three, or none")
    try:
        count, number = int(given[COUNT]), int(given[NUMBER])
    except ValueError as error:
        raise UserError(f"{COUNT}={given[COUNT]}, {NUMBER}={given[NUMBER]}; give whole numbers") from error
    if not 0 <= number < count:
        raise UserError(f"{NUMBER}={number} is not 0..{count - 1} of {COUNT}={count}")
    return {
        "coordinator_address": given[ADDRESS],
        "num_processes": count,
        "process_id": number,
        "cluster_detection_method": "deactivate",  # a process has all devices of its host
    }


def launched() -> bool:
    """Return whether a launcher that JAX knows has started several processes."""
    several = lambda text: text.isdigit() and int(text) > 1
    return any(several(os.environ.get(name, "")) for name in SIZES) or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")


class CollectiveError(UserError):
    """An error that ends every process of the run, each by itself."""


def _is_single_process() -> bool:
    """Return whether this process is the whole run."""
    import jax

    return jax.process_count() == 1


def check_joined() -> None:
    """Raise an error where JAX sees the devices of other processes that this one has not joined: those of a TPU slice.

    Such a run could neither save together nor stop together.
    """
    import jax

    if not _is_single_process() and not jax.distributed.is_initialized():
        raise CollectiveError(
            f"this host is one of {jax.process_count()} of a TPU slice, which have not joined; start the same command"
            " on all of them with --distributed=on"
        )


def exit_process(status: int) -> int:
    """Return the exit status, unless others might wait for this process: then it ends here, and JAX's runtime ends
    them."""
    if _is_single_process():
        return status
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def peer_failure(error: Exception) -> str:
    """Return one line where an error of JAX says that another process of the run is gone; else nothing."""
    import jax

    if not isinstance(error, jax.errors.JaxRuntimeError) or _is_single_process():
        return ""
    text = one_line(error)
    signs = ("Gloo", "NCCL", "Connection", "connection", "DEADLINE_EXCEEDED", "UNAVAILABLE", "heartbeat")
    if not any(sign in text for sign in signs):
        return ""
    return f"another process of the run is gone, its own output says why ({text}); the last checkpoint is whole"


def is_main_process() -> bool:
    """Return whether this process is the one that prints and writes."""
    import jax

    return jax.process_index() == 0


def all_gather(value: Any) -> np.ndarray:
    """Return each process's array, all of one shape [...] -> [P,...], the same on all. All have to call it."""
    from jax.experimental.multihost_utils import process_allgather

    array = np.asarray(value)
    return array[None] if _is_single_process() else np.asarray(process_allgather(array))


@contextmanager
def raise_on_all() -> Iterator[None]:
    """A block that ends with a UserError on all processes if it does on one. Nothing in it may wait for the others.

    Raises:
      UserError: this process's own, or that another one has one.
    """
    own = None
    try:
        yield
    except UserError as error:
        own = error
    failed = np.flatnonzero(all_gather(own is not None))
    if own is not None:
        raise own if _is_single_process() else CollectiveError(str(own)) from own
    if failed.size:
        raise CollectiveError(f"process {failed[0]} ended with an error, which its own output explains")


def check_same_config(config: Mapping[str, Any], differences) -> None:
    """Raise UserError on all processes unless they have the same config.

    `differences` (one's, another's) -> what differs, as lines of text.
    """
    text = json.dumps(config, sort_keys=True, default=list).encode()
    lengths = all_gather(len(text))
    padded = np.zeros(int(lengths.max()), np.uint8)
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    texts = [bytes(row[:n]) for row, n in zip(all_gather(padded), lengths, strict=True)]
    for number, other in enumerate(texts[1:], 1):
        if changed := differences(json.loads(texts[0]), json.loads(other)):
            raise CollectiveError(
                f"process {number} has another config than process 0 ({'; '.join(changed[:3])});"
                " start all of them with the same command"
            )


class StopSignal:
    """Turn SIGINT and SIGTERM into a request to stop after the current step; a second one ends the process at once.

    Of several processes all stop after the same step, whichever was asked: JAX's preemption service takes SIGTERM for
    all of them, and SIGINT is handed on to it.
    """

    signum = agreed = 0
    _calls = itertools.count(1)  # of all runs of this process

    def __enter__(self) -> "StopSignal":
        self.alone = _is_single_process()
        caught = (signal.SIGINT, signal.SIGTERM) if self.alone else (signal.SIGINT,)
        self.previous = {s: signal.signal(s, self._note) for s in caught}
        return self

    def after_call(self) -> int:
        """Return the signal to stop for after a call of the compiled step, the same on all processes; 0 without one.
        All ask after every call."""
        if self.alone:
            return self.signum
        from jax.experimental.multihost_utils import reached_preemption_sync_point

        # JAX waits for the one number behind the last that any process gave: steps may come several at a time.
        self.agreed = signal.SIGTERM if reached_preemption_sync_point(next(self._calls)) else 0
        return self.agreed

    def late(self) -> int:
        """Return the signal to stop for behind the last step, of a single process one that came since, too; 0 without
        one."""
        return self.signum if self.alone else self.agreed

    def _note(self, signum: int, frame) -> None:
        os.write(2, b"\nstopping after this step; once more to stop at once\n")  # print is not safe in a handler
        self.signum = signum
        signal.signal(signum, self.previous[signal.Signals(signum)])
        if not self.alone:
            os.kill(os.getpid(), signal.SIGTERM)

    def __exit__(self, *exception) -> None:
        for signum, handler in self.previous.items():
            signal.signal(signum, handler)
