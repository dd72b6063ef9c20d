"""The devices of a target that is not there, and acting as its platform while a program for it is traced."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import jax

from expressnet_jax.accelerators.gpu_config import gpu_config
from expressnet_jax.accelerators.target import Target
from expressnet_jax.errors import UserError, one_line


def topology_devices(target: Target) -> Sequence[jax.Device]:
    """Return the devices of a target, to make a mesh of; programs can be compiled for them, not run.

    Raises:
      UserError: the compiler knows no such topology, or can't be loaded.
    """
    from jax.experimental import topologies

    try:
        if target.platform == "gpu":
            found = topologies.get_topology_desc(
                "gpu", platform="cuda", topology=target.topology, target_config=gpu_config(target.name)
            )
        else:
            found = topologies.get_topology_desc(
                platform="tpu",
                topology_name=f"{target.name}:{target.topology}",
                chips_per_host_bounds=_host_bounds(target.topology),
                chip_config_name="megacore" if target.name == "v4" else "default",  # both cores of a chip as one device
            )
    except Exception as error:  # each compiler raises its own kind
        raise UserError(f"--target {target.text}: its compiler refuses it ({one_line(error)})") from error
    return found.devices


def _host_bounds(topology: str) -> tuple[int, int, int]:
    """Return how many chips of a TPU topology are on one host along x, y and z: 2x2x1, or what there is of it."""
    x, y = (min(2, int(side)) for side in topology.split("x")[:2])
    return x, y, 1


def lowering_platform(target: Target) -> str:
    """Return the platform as `lower(lowering_platforms=...)` calls it."""
    return "cuda" if target.platform == "gpu" else target.platform


@contextmanager
def acting_as(platform: str) -> Iterator[None]:
    """Trace as on "gpu" or "tpu" whatever asks JAX for its backend: precision, steps a call, form of convolutions."""
    real = jax.default_backend
    jax.default_backend = lambda: platform
    try:
        yield
    finally:
        jax.default_backend = real
