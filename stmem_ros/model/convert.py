"""Published checkpoints to bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stmem_ros.classes import CAMVID, CITYSCAPES, SemanticClass
from stmem_ros.io.file_kind import why_unreadable
from stmem_ros.model.bundle import BundledSegmenter, ModelInfo
from stmem_ros.model.checkpoint_file import CheckpointError, read_state
from stmem_ros.model.memory import MemoryBank, item_classes
from stmem_ros.model.reference import renamed
from stmem_ros.model.segmenter import Architecture

BLOCK = (16, 16)  # of the published networks; a state dict does not tell it
WINDOW = 3
SHOWN = 5  # keys that are wrong
NUMBERS = "it must be an array of numbers, of numpy.save"


def convert_checkpoint(
    path: Path, name: str, height: int
) -> tuple[BundledSegmenter, MemoryBank | None]:
    """Read a checkpoint of the published code, or a PSPNet checkpoint of mmsegmentation.

    Args:
        path: file written by ``torch.save``, or of safetensors; nothing in it is run.
        name: of the model.
        height: image height the network was trained at, pixels.

    Returns:
        The network (centred window, as published) and, if it has MAR, its memory.

    Raises:
        CheckpointError: unreadable, or keys missing, unexpected or of another shape; the first of
            them are named.
    """
    published = read_state(path)
    found = f"its first keys are {', '.join(list(published)[:3]) or 'none'}"
    state = renamed(published)
    architecture = _architecture(path, state, found)
    classes = _classes(architecture.classes)
    info = ModelInfo(name=name, architecture=architecture, classes=classes, height=height)
    model = BundledSegmenter(info)
    wanted = {
        key: value.shape
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    problems = [f"missing {key}" for key in wanted if key not in state]
    problems += [f"unexpected {key}" for key in state if key not in wanted]
    problems += [
        f"{key} is {tuple(value.shape)} instead of {tuple(wanted[key])}"
        for key, value in state.items()
        if key in wanted and value.shape != wanted[key]
    ]
    if problems:
        more = f" (and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        raise CheckpointError(
            f"{path} does not fit {architecture.backbone}: {'; '.join(problems[:SHOWN])}{more}; "
            f"{found}"
        )
    model.load_state_dict(state, strict=False)
    model.eval()
    if model.mar is None:
        return model, None
    per_class = item_classes(architecture.classes, architecture.items_per_class)
    keys, values = model.mar.keys.detach(), model.mar.values.detach()
    return model, MemoryBank(keys=keys, values=values, classes=per_class, rule="published")


def import_memory(keys: Path, values: Path, classes: int) -> MemoryBank:
    """A memory saved by the published code as two numpy files, class-major.

    Each holds items x channels, with or without an axis for the batch or the classes before it.

    Raises:
        CheckpointError: unreadable, or sizes that do not fit each other.
    """
    if classes < 1:
        raise CheckpointError(f"the number of classes is {classes}; it must be 1 or more")
    arrays = []
    for path in (keys, values):
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise CheckpointError(f"{why_unreadable(path, error)}; {NUMBERS}") from error
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise CheckpointError(f"{path} holds other things than real numbers; {NUMBERS}")
        if array.ndim not in (2, 3):
            raise CheckpointError(f"{path} has shape {array.shape}; it must be items x channels")
        arrays.append(torch.from_numpy(array.reshape(-1, array.shape[-1])).float())
    items = len(arrays[0])
    if items % classes:
        raise CheckpointError(f"{keys} holds {items} items, no multiple of {classes} classes")
    per_class = item_classes(classes, items // classes)
    try:
        return MemoryBank(keys=arrays[0], values=arrays[1], classes=per_class, rule="published")
    except ValueError as error:
        raise CheckpointError(f"{keys}, {values}: {error}") from error


def _architecture(path: Path, state: dict[str, Tensor], found: str) -> Architecture:
    """What the shapes of the weights tell about the network; ``found``: its keys, for people."""
    classifier = state.get("classifier.weight")
    if classifier is not None and classifier.ndim != 4:
        raise CheckpointError(
            f"{path}: the classifier's weight is {tuple(classifier.shape)}; it must be that of a "
            "convolution, classes x channels x 1 x 1"
        )
    if classifier is None:
        raise CheckpointError(
            f"{path}: missing classifier (decode_head.conv_seg.weight); {found}; "
            "expected are those of the published code (pspnet., STF., MAR.) or of a PSPNet of "
            "mmsegmentation (backbone., decode_head.)"
        )
    classes, channels = classifier.shape[:2]
    stf, mar = (any(k.startswith(part) for k in state) for part in ("stf.", "mar."))
    deep = any(k.startswith("backbone.stages.2.22.") for k in state)
    position, hidden = (
        state.get("stf.window_position"),
        state.get("stf.encoder.feed_forward.linear1.weight"),
    )
    keys = state.get("mar.keys")
    return Architecture(
        classes=classes,
        backbone="resnet101" if deep else "resnet50",
        channels=channels,
        window=WINDOW if position is None else position.shape[2],
        causal=False,
        hidden=256 if hidden is None else hidden.shape[0],
        block=BLOCK,
        positions=(128, 256) if position is None else (position.shape[3], position.shape[4]),
        items_per_class=10 if keys is None else keys.shape[0] // classes,
        stf=stf,
        mar=mar,
    )


def _classes(count: int) -> tuple[SemanticClass, ...]:
    for known in (CITYSCAPES, CAMVID):
        if len(known) == count:
            return known
    hues = np.random.default_rng(0).integers(32, 256, (count, 3))
    return tuple(
        SemanticClass(i, f"class_{i}", (int(r), int(g), int(b))) for i, (r, g, b) in enumerate(hues)
    )
