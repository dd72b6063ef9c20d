"""What accelerators can do at most, by name: the makers' figures, which a roofline and a share of the peak need.

Sources: docs.cloud.google.com/tpu/docs (pages v4, v5e, v5p, v6e; "bidirectional" links count half here), Jouppi et al.
2023 (TPU v4, table 1: six links of 50 GB/s), NVIDIA's data sheets of H200, H100 SXM, A100 80GB SXM and L4 (dense rates,
without sparsity; NVLink's and PCIe's figures are both directions together), and of DGX H200, H100 and A100 for the
adapters between hosts: 400 Gb/s a GPU, 200 of A100. L4's is an assumption: 100 Gb/s shared by eight.
"""

import re
from dataclasses import dataclass

from expressnet_jax.errors import UserError

HOST_DEVICES = 8  # GPUs of one host


@dataclass(frozen=True)
class Card:
    """One chip: bytes of memory, bytes a second to it, FLOP a second by precision, bytes a second that it sends.

    `link` leads to the chips of a host, or of a TPU's slice, `network` to other hosts.

    `float32` is what JAX's default precision makes of a float32 product: TF32 on NVIDIA's cards, one pass in bfloat16
    on TPUs. `launch` is the seconds that a kernel costs, however little it does: about 2 us on a GPU that replays a
    graph of kernels. `kind` is the beginning of JAX's `device_kind`.
    """

    platform: str
    kind: str
    memory: float
    bandwidth: float
    bfloat16: float
    float32: float
    link: float
    network: float
    launch: float

    def peak(self, dtype: str) -> float:
        """Return the FLOP a second in "bfloat16" or "float32"."""
        return self.bfloat16 if dtype == "bfloat16" else self.float32


def _tpu(kind: str, memory: float, bandwidth: float, bfloat16: float, link: float) -> Card:
    return Card("tpu", kind, memory, bandwidth, bfloat16, bfloat16, link, link, 0.0)


def _gpu(
    kind: str, memory: float, bandwidth: float, bfloat16: float, float32: float, link: float, network: float
) -> Card:
    return Card("gpu", kind, memory, bandwidth, bfloat16, float32, link, network, 2e-6)


CARDS = {
    "v4": _tpu("TPU v4", 32 * 2**30, 1.2e12, 275e12, 300e9),
    "v5e": _tpu("TPU v5 lite", 16e9, 0.819e12, 197e12, 200e9),
    "v5p": _tpu("TPU v5", 95e9, 2.765e12, 459e12, 600e9),
    "v6e": _tpu("TPU v6 lite", 32e9, 1.638e12, 918e12, 400e9),
    "h200": _gpu("NVIDIA H200", 151397597184, 4.8e12, 989e12, 494e12, 450e9, 50e9),
    "h100": _gpu("NVIDIA H100", 84942979072, 3.35e12, 989e12, 494e12, 450e9, 50e9),
    "a100": _gpu("NVIDIA A100", 85100068864, 2.039e12, 312e12, 156e12, 300e9, 25e9),
    "l4": _gpu("NVIDIA L4", 24e9, 0.3e12, 121e12, 60e12, 32e9, 1.5e9),
}


def find_card(name: str, platform: str) -> Card:
    """Return the card of that name.

    Raises:
      UserError: there is none on the platform; the message lists the valid ones.
    """
    names = [each for each, card in CARDS.items() if card.platform == platform]
    if name not in names:
        raise UserError(f"--target {platform}:{name}: no such {platform}; one of {', '.join(names)}")
    return CARDS[name]


def card_of(device_kind: str) -> Card | None:
    """Return the card that JAX calls `device_kind`, or None where the table does not have it."""
    # Of a longer word the beginning is another card: L40S is no L4.
    named = [card for card in CARDS.values() if re.match(rf"{re.escape(card.kind)}\b", device_kind)]
    return max(named, key=lambda card: len(card.kind), default=None)
