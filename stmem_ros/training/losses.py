"""What training minimises: cross-entropy, a soft IoU, and consistency in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from stmem_ros.model.bundle import IMAGENET_MEAN, IMAGENET_STD
from stmem_ros.model.segmenter import Segmenter, normalise
from stmem_ros.training.config import StageConfig
from stmem_ros.training.label_loss import LabelLoss
from stmem_ros.training.processes import TrainingProcess
from stmem_ros.training.samples import Samples


def batch_loss(
    network: nn.Module,
    model: Segmenter,
    batch: Sequence[Tensor],
    label_loss: LabelLoss,
    process: TrainingProcess,
    settings: StageConfig,
    bfloat16: bool,
) -> Tensor:
    """Loss of this process's share of a batch.

    Cross-entropy is a mean over the pixels of all processes: DDP, which averages gradients, then
    gives those of one process with the whole batch. The other terms are each process's own.

    Args:
        network: computes the logits; the :class:`StageNetwork` of ``model``, or DDP around it.
        model: the whole network.
        batch: images, labels and flows as ``epoch_batches`` yields them.
        label_loss: of the stage's labels.
        settings: of the stage.
        bfloat16: compute in bfloat16 autocast.
    """
    rgb, label, flow = (x.to(process.device, non_blocking=True) for x in batch)
    label = label.long()
    images = normalise(rgb.flatten(0, 1), IMAGENET_MEAN, IMAGENET_STD).unflatten(0, rgb.shape[:2])
    with torch.autocast(process.device.type, torch.bfloat16, bfloat16):
        window_logits = network(images)
    logits = model.upsample(window_logits[:, -1], label.shape[-2], label.shape[-1])
    share = process.total(label_loss.share(label))
    loss = label_loss.total(logits, label) / share.clamp(min=1e-6) * process.count
    if settings.iou_loss:
        loss = loss + settings.iou_loss * soft_iou_loss(logits, label)
    if window_logits.shape[1] > 1:
        newest, before = window_logits[:, -1], window_logits[:, -2]
        loss = loss + settings.consistency * inconsistency(newest, before, flow)
    return loss


def soft_iou_loss(logits: Tensor, label: Tensor) -> Tensor:
    """One minus the mean IoU of the probabilities over the classes that the batch shows.

    Rare classes weigh as much as frequent ones, as they do in mIoU (Rahman and Wang, ISVC 2016).
    Every second row and column is enough to estimate it. Labels that name no single class do not
    count.
    """
    logits, label = logits[..., ::2, ::2], label[..., ::2, ::2]
    known = label < logits.shape[1]
    truth = label[known]
    if not len(truth):
        return logits.sum() * 0
    probability = logits.softmax(dim=1).movedim(1, -1)[known]  # pixels x classes
    true_probability = probability.gather(1, truth[:, None])[:, 0]
    intersection = torch.zeros_like(probability[0]).index_add(0, truth, true_probability)
    count = torch.bincount(truth, minlength=logits.shape[1])
    union = probability.sum(dim=0) + count - intersection
    return 1 - (intersection / union)[count > 0].mean()


def inconsistency(newest: Tensor, before: Tensor, flow: Tensor) -> Tensor:
    """How much the class probabilities of two successive frames differ along their motion.

    Symmetric Kullback-Leibler divergence, mean over what both frames see. Labels alone do not ask
    for it: where a network is unsure, any of its answers costs the same, steady or not.

    Args:
        newest, before: logits N x classes x h x w.
        flow: N x H x W x 2, where each image pixel of ``newest`` lies in ``before``, as a shift.
    """
    height, width = flow.shape[1:3]
    size = torch.tensor([width, height], device=flow.device)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=flow.device),
        torch.arange(width, device=flow.device),
        indexing="ij",
    )
    points = (torch.stack([columns, rows], dim=-1) + flow + 0.5) / size * 2 - 1
    grid = F.interpolate(points.movedim(-1, 1), newest.shape[-2:], mode="area").movedim(1, -1)
    in_both = (grid.abs().amax(dim=-1) <= 1).float()
    log_newest = newest.log_softmax(dim=1)
    warped = F.grid_sample(before.softmax(dim=1), grid, padding_mode="border", align_corners=False)
    warped = warped.clamp(min=1e-5)
    divergence = ((log_newest.exp() - warped) * (log_newest - warped.log())).sum(dim=1)
    return (divergence * in_both).sum() / in_both.sum().clamp(min=1)


def class_weights(samples: Samples) -> Tensor:
    """Weights 1/sqrt(frequency) of the label values, their mean over labelled pixels being 1."""
    values = len(samples.allowed)
    counts = np.zeros(256)
    indices = range(len(samples))
    for i in tqdm(indices, desc="counting labels", unit="frame", leave=False, disable=None):
        counts += np.bincount(samples.label(i).reshape(-1), minlength=256)
    share = counts[:values] / max(1.0, counts[:values].sum())
    weights = 1 / np.sqrt(np.maximum(share, 1e-6))
    return torch.tensor(weights / max(1e-6, (weights * share).sum()), dtype=torch.float32)
