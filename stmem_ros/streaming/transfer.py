"""Images onto the network's device, and its results back: one copy each way per push.

Each copy has its cost beside its bytes, and one from a GPU waits for all that was launched.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import cv2
import numpy as np
import torch
from torch import Tensor

from stmem_ros.streaming.image_area import WHOLE
from stmem_ros.streaming.kernels.cuda_graph import recorded

Size = tuple[int, int]  # rows and columns


def upload(images: Sequence[np.ndarray], size: Size, device: torch.device) -> Tensor:
    """Images uint8 H x W x 3 at the size the network sees, N x h x w x 3, on its device.

    A CPU scales here what is of another size; a GPU gets it as it is, from pinned memory, and
    scales it itself.
    """
    if device.type != "cuda":
        return torch.from_numpy(np.stack([_scaled(image, size) for image in images]))
    sizes = [prod(image.shape) for image in images]
    staging = torch.empty(sum(sizes), dtype=torch.uint8, pin_memory=True)
    for image, part in zip(images, staging.split(sizes), strict=True):
        part.numpy()[...] = image.reshape(-1)
    # torch keeps pinned memory from other uses until such a copy is done.
    parts = staging.to(device, non_blocking=True).split(sizes)
    return torch.stack(
        [
            scaled_on_device(part.view(image.shape), size)
            for image, part in zip(images, parts, strict=True)
        ]
    )


def upload_as_trained(rgb: np.ndarray, height: int, device: torch.device) -> Tensor:
    """A whole image at the size that a network trained at ``height`` sees, 1 x h x w x 3."""
    return upload([rgb], WHOLE.network_size((rgb.shape[0], rgb.shape[1]), height), device)


def _scaled(rgb: np.ndarray, size: Size) -> np.ndarray:
    """The image as the network sees it: of means of areas, or enlarged between pixels."""
    if size == rgb.shape[:2]:
        return rgb
    is_larger = size[0] > rgb.shape[0]
    way = cv2.INTER_LINEAR if is_larger else cv2.INTER_AREA
    return cv2.resize(rgb, size[::-1], interpolation=way)


def scaled_on_device(rgb: Tensor, size: Size) -> Tensor:
    """An image H x W x 3 at another size, as OpenCV's; rounded, of numbers or bytes."""
    height, width = rgb.shape[:2]
    if size == (height, width):
        return rgb
    weights = _linear_weights if size[0] > height else _area_weights
    rows, columns = (
        recorded(weights(a, b, rgb.device)) for a, b in ((height, size[0]), (width, size[1]))
    )
    scaled = torch.einsum("hy,yxc,wx->hwc", rows, rgb.float(), columns)
    return scaled.add_(0.5).floor_()  # halves up, as OpenCV where a whole number of pixels is one


@lru_cache(maxsize=32)  # some hundred kB per size of images
def _area_weights(length: int, shorter: int, device: torch.device) -> Tensor:
    """Share of each of ``length`` pixels in each of ``shorter`` ones; shorter x length."""
    edges = torch.arange(shorter + 1, dtype=torch.float64, device=device) * (length / shorter)
    pixels = torch.arange(length, dtype=torch.float64, device=device)
    begin, end = edges[:-1, None], edges[1:, None]
    overlap = torch.minimum(pixels + 1, end) - torch.maximum(pixels, begin)
    return (overlap.clamp(min=0) * (shorter / length)).float()


@lru_cache(maxsize=32)
def _linear_weights(length: int, longer: int, device: torch.device) -> Tensor:
    """Share of each of ``length`` pixels in each of ``longer`` ones between them."""
    centres = (torch.arange(longer, dtype=torch.float64, device=device) + 0.5) * (length / longer)
    places = (centres - 0.5).clamp(0, length - 1)
    pixels = torch.arange(length, dtype=torch.float64, device=device)
    return (1 - (places[:, None] - pixels).abs()).clamp(min=0).float()


def to_host(maps: Tensor, numbers: tuple[Tensor, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Bytes and some float32 numbers, by one copy: each waits for the GPU."""
    tails = torch.cat([n.float() for n in numbers])
    packed = torch.cat([maps.flatten(), tails.view(torch.uint8)]).cpu().numpy()
    values = packed[maps.numel() :].copy().view(np.float32)
    ends = np.cumsum([len(n) for n in numbers])[:-1]
    return packed[: maps.numel()].reshape(maps.shape), np.split(values, ends)
