"""The augmentation of the real-data configs in PyTorch, on the device: what a fair peer has to do as well.

Shapes: B batch, C channels, H height, W width.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, options: Mapping[str, float]) -> Tensor:
    """Mirror, shift, rotate and zoom in one pass, cut the centre, change brightness and contrast.

    uint8[B,C,H,W] -> float32[B,C,H,W] in 0..255, or [B,C,crop,crop]. The distributions are those of `data.augment`.
    """
    images = images.float()
    if not options:
        return images
    batch, _, height, width = images.shape
    uniform = lambda low, high: torch.empty(batch, device=images.device).uniform_(low, high)
    angle = torch.deg2rad(uniform(-options["rotate"], options["rotate"]))
    factor = 1 / uniform(1 - options["zoom"], 1 + options["zoom"])
    mirror = torch.where(uniform(0, 1) < options["flip"], -1.0, 1.0)
    pad = options["pad"]
    shift = lambda size: uniform(-pad - 0.5, pad + 0.5).round() * 2 / size  # grid_sample measures in half images
    cosine, sine = factor * torch.cos(angle), factor * torch.sin(angle)
    rows = [
        torch.stack([mirror * cosine, -sine, shift(width)], -1),
        torch.stack([mirror * sine, cosine, shift(height)], -1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), images.shape, align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if crop := options["crop"]:
        top, left = (height - crop) // 2, (width - crop) // 2
        images = images[:, :, top : top + crop, left : left + crop]
    light = lambda values: values[:, None, None, None]
    images = (images + 255 * light(uniform(-options["brightness"], options["brightness"]))).clamp(0, 255)
    mean = images.mean((1, 2, 3), keepdim=True)
    return (mean + light(uniform(1 - options["contrast"], 1 + options["contrast"])) * (images - mean)).clamp(0, 255)
