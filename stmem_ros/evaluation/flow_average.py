"""The plain rival of temporal fusion: class probabilities averaged along optical flow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from stmem_ros.classes import UNLABELLED
from stmem_ros.data.optical_flow import optical_flow, warp
from stmem_ros.model.bundle import BundledSegmenter
from stmem_ros.model.segmenter import normalise
from stmem_ros.streaming.image_area import WHOLE
from stmem_ros.streaming.transfer import upload_as_trained


@dataclass(frozen=True)
class FlowAverageLabels:
    """Class ids of one frame, uint8 H x W, and its stamp in seconds."""

    label: np.ndarray
    stamp: float


class FlowAverage:
    """Labels of the mean of the last ``frames`` probability maps, warped to the newest frame.

    Args:
        model: a network of single frames, without STF.
        frames: how many maps are averaged; each earlier one costs an optical flow a frame.
    """

    def __init__(self, model: BundledSegmenter, frames: int) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self._earlier: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=frames - 1)

    def reset(self) -> None:
        """Forget all frames."""
        self._earlier.clear()

    @torch.inference_mode()
    def push(self, rgb: np.ndarray, stamp: float) -> FlowAverageLabels:
        """Label the next frame, H x W x 3 uint8."""
        height, width = rgb.shape[:2]
        seen = upload_as_trained(rgb, self.model.info.height, torch.device("cpu"))
        size = seen.shape[1], seen.shape[2]
        image = seen.to(self.device)
        features = self.model.features(normalise(image, self.model.info.mean, self.model.info.std))
        logits = self.model.classify(self.model.refine(features))
        scores = self.model.upsample(logits, *size).softmax(dim=1)
        probability = scores[0].permute(1, 2, 0).cpu().numpy()
        grey = cv2.cvtColor(seen[0].numpy(), cv2.COLOR_RGB2GRAY)
        if self._earlier and self._earlier[-1][0].shape != grey.shape:
            self.reset()  # as a stream begins anew
        total = probability.copy()
        for then, earlier in self._earlier:
            total += warp(earlier, optical_flow(grey, then), cv2.INTER_LINEAR)
        self._earlier.append((grey, probability))
        label = total.argmax(axis=-1).astype(np.uint8)
        return FlowAverageLabels(WHOLE.spread(label, (height, width), UNLABELLED), stamp)
