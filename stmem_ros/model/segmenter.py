"""The whole network: frames of a window to class scores of its target frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

import torch
from torch import Tensor, nn

from stmem_ros.configuration import Probability, Range, check_values
from stmem_ros.model.aligned_fusion import AlignedFusion
from stmem_ros.model.efficientnet import REPEATS, EfficientNetLite
from stmem_ros.model.layers import resample
from stmem_ros.model.mar import MemoryAugmentedRefinement
from stmem_ros.model.prototype_refinement import PrototypeRefinement
from stmem_ros.model.pyramid import FeaturePyramidHead, PyramidPoolingHead
from stmem_ros.model.resnet import ResNetV1c
from stmem_ros.model.stf import SpatialTemporalFusion

FORMS = ("published", "light")
BACKBONES = (*REPEATS, "resnet50", "resnet101")
Size = Annotated[int, Range(ge=1, le=4096)]


@dataclass(frozen=True)
class Architecture:
    """What is needed to build a :class:`Segmenter`; stored in a bundle's ``model.yaml``.

    Attributes:
        classes: number of classes.
        backbone: one of ``BACKBONES``; with its pyramid head.
        channels: C of the feature map.
        window: T, frames the temporal fusion looks at.
        causal: True if the target is the newest frame, False if it is the middle one.
        heads: attention heads of the published STF.
        hidden: feed-forward width of the published STF.
        block: rows and columns of a block of the published STF, in feature pixels.
        positions: rows and columns of the published STF's position tables.
        items_per_class: memory items of the published MAR per class; the light one has one.
        form: ``published``, STF and MAR as in the paper; ``light``, what an on-board computer can
            afford: AlignedFusion and PrototypeRefinement; causal, with an on-board backbone.
        zoom: how much images are enlarged before the backbone: what is thin needs pixels.
        reach: farthest motion between two frames that an aligned fusion finds, in pairs of feature
            pixels.
        longest_interval: seconds between two frames, beyond which a stream does not look back from
            the later one: what lies so far apart shows other things, and costs rare classes.
        agreement: how alike two frames' classes must be, 0 to 1, for an aligned fusion to look from
            the later one into the other: not at all below the first limit, in full above the
            second. Frames that show much of the same lie above (docs/notes/streets.md).
        stf: temporal fusion is part of the network.
        mar: memory refinement is part of the network.
    """

    classes: Annotated[int, Range(ge=2, le=255)]
    backbone: str = "efficientnet_lite0"
    channels: Size = 128
    window: Annotated[int, Range(ge=1, le=64)] = 3
    causal: bool = True
    heads: Size = 2
    hidden: Size = 256
    block: tuple[Size, Size] = (9, 10)
    positions: tuple[Size, Size] = (24, 32)
    items_per_class: Size = 10
    form: str = "published"
    zoom: Annotated[float, Range(ge=0.25, le=4.0)] = 1.0
    reach: Annotated[int, Range(ge=0, le=64)] = 4
    longest_interval: Annotated[float, Range(gt=0.0, le=60.0)] = 0.3
    agreement: tuple[Probability, Probability] = (0.93, 0.975)
    stf: bool = True
    mar: bool = True

    def __post_init__(self) -> None:
        check_values(self)
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone is {self.backbone!r}; allowed: {', '.join(BACKBONES)}")
        if self.form not in FORMS:
            raise ValueError(f"form is {self.form!r}; allowed: {', '.join(FORMS)}")
        if self.form == "light" and not (self.causal and self.backbone in REPEATS):
            raise ValueError(
                f"form is 'light' with the backbone {self.backbone!r} and causal {self.causal}; "
                f"allowed: causal, and one of {', '.join(REPEATS)}"
            )
        if not self.agreement[0] < self.agreement[1]:
            raise ValueError(
                f"agreement is {list(self.agreement)}; allowed: two numbers, the first smaller"
            )
        if self.form == "published" and self.stf and self.channels % self.heads:
            raise ValueError(
                f"heads is {self.heads}; allowed: what divides channels, {self.channels}"
            )

    @property
    def target(self) -> int:
        """Index of the target frame in the window."""
        return self.window - 1 if self.causal else self.window // 2

    @property
    def stride(self) -> float:
        """Input pixels per feature pixel, on each side."""
        head = FeaturePyramidHead if self.backbone in REPEATS else PyramidPoolingHead
        return head.stride / self.zoom


# The networks of the paper (Cityscapes, 19 classes) and of this package, before training.
PRESETS = {
    "onboard": Architecture(classes=11),
    "psp50": Architecture(
        classes=19,
        backbone="resnet50",
        channels=512,
        causal=False,
        block=(16, 16),
        positions=(128, 256),
    ),
}
PRESETS["psp101"] = replace(PRESETS["psp50"], backbone="resnet101")


class Segmenter(nn.Module):
    """Backbone and head per frame, STF over the window, MAR, 1x1 classifier.

    Called on normalised float frames N x T x 3 x H x W it returns logits N x classes x H x W of the
    target frame: the plain form, every frame through the backbone. The parts are public so that a
    stream can keep the features of earlier frames (for an aligned fusion C + A + K channels: the
    appearance of the frame and its class probabilities besides):

        features(images)   N x 3 x H x W       -> N x C x h x w, h = ceil(H / stride)
        fuse(window)       N x C x T x h x w   -> N x C x h x w
        refine(features)   N x C x h x w       -> N x C x h x w
        classify(features) N x C x h x w       -> N x classes x h x w
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.backbone: EfficientNetLite | ResNetV1c
        self.head: FeaturePyramidHead | PyramidPoolingHead
        if a.backbone in REPEATS:
            self.backbone = EfficientNetLite(a.backbone)
            self.head = FeaturePyramidHead(EfficientNetLite.channels, a.channels)
        else:
            self.backbone = ResNetV1c(int(a.backbone.removeprefix("resnet")))
            self.head = PyramidPoolingHead(ResNetV1c.channels, a.channels)
        self.stf: SpatialTemporalFusion | AlignedFusion | None = None
        if a.stf and a.form == "published":
            self.stf = SpatialTemporalFusion(
                channels=a.channels,
                heads=a.heads,
                hidden=a.hidden,
                block=a.block,
                window=a.window,
                positions=a.positions,
                target=a.target,
            )
        elif a.stf:
            self.stf = AlignedFusion(
                a.channels, EfficientNetLite.channels[1], a.window, a.reach, a.agreement
            )
        self.mar: MemoryAugmentedRefinement | PrototypeRefinement | None = None
        if a.mar and a.form == "published":
            self.mar = MemoryAugmentedRefinement(a.channels, a.classes * a.items_per_class)
        elif a.mar:
            self.mar = PrototypeRefinement(a.channels, a.classes)
        self.classifier = nn.Conv2d(a.channels, a.classes, 1)
        # Convolutions run about twice as fast with the channels innermost, on CPU and GPU.
        for part in (self.backbone, self.head):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, images: Tensor) -> Tensor:
        return frame_features(
            self.backbone,
            self.head,
            images,
            self.architecture.zoom,
            self.classifier if isinstance(self.stf, AlignedFusion) else None,
        )

    def fuse(self, window: Tensor) -> Tensor:
        if self.stf is None:
            return window[:, :, self.architecture.target]
        return self.stf(window)

    def refine(self, features: Tensor) -> Tensor:
        if isinstance(self.mar, PrototypeRefinement):
            return self.mar(features, self.classify(features).softmax(dim=1))
        return features if self.mar is None else self.mar(features)

    def classify(self, features: Tensor) -> Tensor:
        return self.classifier(features)

    def forward(self, frames: Tensor) -> Tensor:
        n, t = frames.shape[:2]
        if t != self.architecture.window:
            raise ValueError(
                f"frames hold {t} frames per window; this model takes {self.architecture.window}"
            )
        window = self.features(frames.flatten(0, 1)).unflatten(0, (n, t)).transpose(1, 2)
        logits = self.classify(self.refine(self.fuse(window)))
        return self.upsample(logits, frames.shape[-2], frames.shape[-1])

    def upsample(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Bilinear to image size; what lies beyond an odd-sized image is cut off."""
        stride = self.architecture.stride
        return resample(logits, (height, width), (stride, stride))


def frame_features(
    backbone: nn.Module, head: nn.Module, images: Tensor, zoom: float, classifier: nn.Module | None
) -> Tensor:
    """Features of images N x 3 x H x W, enlarged first.

    With a classifier, what an aligned fusion compares rides along: the backbone's features at 1/4,
    and the class probabilities of the frame alone.
    """
    levels = backbone(enlarge(images, zoom).contiguous(memory_format=torch.channels_last))
    features = head(levels)
    if classifier is None:
        return features
    return torch.cat([features, levels[1], classifier(features).softmax(dim=1)], dim=1)


def enlarge(images: Tensor, zoom: float) -> Tensor:
    """Images N x 3 x H x W as a backbone sees them."""
    if zoom == 1:
        return images
    height, width = (math.ceil(side * zoom) for side in images.shape[-2:])
    return resample(images, (height, width), (zoom, zoom))


def normalise(
    rgb: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Tensor:
    """uint8 images N x H x W x 3 (RGB) to normalised floats N x 3 x H x W."""
    scale, offset = _scale_and_offset(mean, std, rgb.device)
    x = rgb.to(torch.float32, copy=True).mul_(scale).sub_(offset)  # one array, in order
    return x.permute(0, 3, 1, 2)


@lru_cache(maxsize=64)  # else each frame copies them to its device, and waits for that
def _scale_and_offset(
    mean: tuple[float, float, float], std: tuple[float, float, float], device: torch.device
) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(mode=False):  # for training too
        scale = torch.tensor(std, device=device).reciprocal()
        return scale, torch.tensor(mean, device=device) * scale
