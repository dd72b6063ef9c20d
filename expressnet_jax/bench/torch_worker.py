"""A process that trains a network in PyTorch and is asked for blocks of steps: python -m ...torch_worker FOLDER DTYPE.

FOLDER holds network.json (what to build) and arrays.npz (its weights, a batch); DTYPE is float32, or bfloat16 for
PyTorch's autocast. The process says its first loss as a line of JSON; for every line with a number of steps that it
then reads, it trains them and answers with the seconds. It is its own process so that PyTorch runs with its own
allocator and thread settings, as it comes or tuned.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from expressnet_jax.bench.torch_augment import augment
from expressnet_jax.bench.torch_networks import NETWORKS, Classifier
from expressnet_jax.bench.worker import serve


def main(folder: Path, dtype: str) -> None:
    spec = json.loads((folder / "network.json").read_text())
    arrays = dict(np.load(folder / "arrays.npz"))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Classifier(NETWORKS[spec["backbone"]](**spec["options"]), spec["num_classes"])
    network.load_state_dict(carried_over(arrays, network))
    network = network.to(device, memory_format=torch.channels_last)
    step = _make_step(network, spec, device, dtype)

    images = torch.from_numpy(arrays["images"]).to(device).permute(0, 3, 1, 2)  # channels_last memory already
    labels = torch.from_numpy(arrays["labels"]).to(device).long()
    loss = float(step(images, labels))

    def work(steps):
        start = time.perf_counter()
        for _ in range(steps):
            loss = step(images, labels)
        float(loss)  # waits for the device
        return time.perf_counter() - start

    serve({"loss": loss, "torch": torch.__version__, "device": device}, work)


def _make_step(network, spec, device, dtype):
    """Return one step of SGD with Nesterov momentum, weight decay on matrices and kernels only."""
    params = list(network.parameters())
    groups = [
        {"params": [p for p in params if p.ndim > 1], "weight_decay": spec["weight_decay"]},
        {"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=spec["learning_rate"], momentum=0.9, nesterov=True, fused=device == "cuda")

    def loss_of(images, labels):
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = network(augment(images, spec["augment"]))
        return F.cross_entropy(logits.float(), labels, label_smoothing=spec["label_smoothing"])

    compiled = torch.compile(loss_of) if device == "cuda" else loss_of

    def step(images, labels):
        optimizer.zero_grad(set_to_none=True)
        loss = compiled(images, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def carried_over(arrays, network) -> dict[str, torch.Tensor]:
    """Return Linen variables, flattened to `params/backbone/stem/kernel`, as the PyTorch network's state."""
    state = {}
    variables = {path: value for path, value in arrays.items() if path.startswith(("params/", "batch_stats/"))}
    names = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    for path, value in variables.items():
        *modules, leaf = path.split("/")[1:]
        if leaf == "kernel":
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        state[".".join([*modules, names.get(leaf, leaf)])] = torch.from_numpy(np.ascontiguousarray(value))
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    return state | counters


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
