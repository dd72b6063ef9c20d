"""What XLA's GPU compiler asks of a card, as the text of a stream_executor.GpuTargetConfigProto.

The figures are those of XLA's own descriptions (openxla/xla, xla/backends/gpu/target_config/specs: h200, h100_sxm,
a100_sxm_80); it has none of the L4, whose are NVIDIA's (Ada architecture: 58 multiprocessors, 48 MiB of L2 cache).
"""

from expressnet_jax.accelerators.cards import CARDS

# Multiprocessors, lanes of one, bytes of L2 cache, GHz, bytes of shared memory of one and of a block, threads of one,
# compute capability.
_SPECS = {
    "h200": (132, 128, 52428800, 1.98, 233472, 232448, 2048, (9, 0)),
    "h100": (132, 128, 52428800, 1.98, 233472, 232448, 2048, (9, 0)),
    "a100": (108, 64, 41943040, 1.41, 167936, 166912, 2048, (8, 0)),
    "l4": (58, 128, 50331648, 2.04, 102400, 101376, 1536, (8, 9)),
}

_TEXT = """gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {shared}
  shared_memory_per_block_optin: {optin}
  threads_per_core_limit: {threads}
  core_count: {cores}
  fpus_per_core: {lanes}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth:.0f}
  l2_cache_size: {cache}
  clock_rate_ghz: {clock}
  device_memory_size: {memory:.0f}
  cuda_compute_capability {{ major: {capability[0]} minor: {capability[1]} }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{kind}"
"""


def gpu_config(name: str) -> str:
    """Return the description of a GPU of `CARDS`, for `topologies.get_topology_desc(target_config=...)`."""
    cores, lanes, cache, clock, shared, optin, threads, capability = _SPECS[name]
    card = CARDS[name]
    return _TEXT.format(**locals(), bandwidth=card.bandwidth, memory=card.memory, kind=card.kind)
