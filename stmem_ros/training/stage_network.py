"""The part of the network that a stage trains, and what it computes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.segmenter import Segmenter
from stmem_ros.model.stf import SpatialTemporalFusion

BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


class StageNetwork(nn.Module):
    """What a stage computes; parts before the trained ones run without gradients.

    ``frozen`` names modules among the trained ones that keep weights and batch norm statistics;
    with ``frozen_norms`` all batch norms keep their statistics.

    ``forward`` takes normalised frames N x T x 3 x H x W (T = 1 in the frame stage) and returns
    logits N x P x classes x h x w as :meth:`Segmenter.classify` does: of the target of each of the
    P windows that lie in the frames, earliest first. There are two where successive targets are to
    agree, else one.
    """

    def __init__(
        self,
        model: Segmenter,
        stage: str,
        frozen: tuple[str, ...] = (),
        frozen_norms: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.frozen = [model.get_submodule(name) for name in frozen]
        self.stage = stage
        self.trained: list[nn.Module] = [model]
        if stage != "frame":
            newest = model.stf if stage == "stf" else model.mar
            assert newest is not None
            self.trained = [newest, model.classifier]
        model.requires_grad_(False)
        for part in self.trained:
            part.requires_grad_(True)
        for part in self.frozen:
            part.requires_grad_(False)
        if frozen_norms:
            self.frozen += [part for part in model.modules() if isinstance(part, BATCH_NORMS)]

    def train(self, mode: bool = True) -> StageNetwork:
        """Only trained parts leave evaluation mode: frozen batch norms must not move."""
        super().train(False)
        if mode:
            for part in self.trained:
                part.train()
        for part in self.frozen:
            part.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        model, (n, t) = self.model, frames.shape[:2]
        with torch.set_grad_enabled(self.stage == "frame" and torch.is_grad_enabled()):
            window = model.features(frames.flatten(0, 1)).unflatten(0, (n, t)).transpose(1, 2)
        fused = window[:, :, 0]
        if model.stf is not None:
            with torch.set_grad_enabled(self.stage == "stf" and torch.is_grad_enabled()):
                fused = self._fuse(window, model.stf)
        return model.classify(model.refine(fused)).float().unflatten(0, (n, -1))

    def _fuse(self, window: Tensor, stf: SpatialTemporalFusion | AlignedFusion) -> Tensor:
        """Fuse all windows in features N x C x T x h x w; N P x C x h x w."""
        length = self.model.architecture.window
        if not isinstance(stf, AlignedFusion):
            return stf(window.unfold(2, length, 1).permute(0, 2, 1, 5, 3, 4).flatten(0, 1))
        # Two frames are matched once, whichever windows they are in.
        aligned_window, fused = None, []
        for features in window.unbind(dim=2):
            aligned_window = stf.extend(aligned_window, features)
            if len(aligned_window.frames) == length:
                fused.append(stf.fuse(aligned_window)[0])
        return torch.stack(fused, dim=1).flatten(0, 1)
