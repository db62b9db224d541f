"""Prototype refinement: an image of another look is moved to that of the memory."""

import pytest
import torch
from torch import Tensor

from stmem_ros.model.prototype_refinement import RARE, PrototypeRefinement

C, CLASSES = 6, 3


def refinement() -> PrototypeRefinement:
    torch.manual_seed(0)
    mar = PrototypeRefinement(C, CLASSES)
    with torch.no_grad():
        mar.values.copy_(3 * torch.randn(CLASSES, C))
        mar.keys.copy_(mar.values)
    return mar.requires_grad_(False)


def image_of(mar: PrototypeRefinement, label: Tensor, look: Tensor) -> tuple[Tensor, Tensor]:
    """Features of an image whose classes look different by ``look`` K x C, and sure classes."""
    features = mar.values[label] + look[label]
    probability = torch.nn.functional.one_hot(label, CLASSES).float()
    return features.movedim(-1, 0)[None], probability.movedim(-1, 0)[None]


LABEL = torch.arange(CLASSES).repeat_interleave(40).view(10, 12)


def test_another_look_of_a_class_is_taken_away() -> None:
    mar, look = refinement(), torch.randn(CLASSES, C)
    features, probability = image_of(mar, LABEL, look)
    known = image_of(mar, LABEL, torch.zeros_like(look))[0]
    moved = mar(features, probability)
    kept = RARE / (1 / CLASSES + RARE)  # a third of the image is of each class
    torch.testing.assert_close(moved - known, kept * (features - known), atol=1e-5, rtol=1e-4)


def test_what_a_few_pixels_show_is_hardly_believed() -> None:
    mar, look = refinement(), torch.ones(CLASSES, C)
    label = torch.zeros(50, 60, dtype=torch.int64)
    label[7, 7] = 1  # one of 3000 pixels
    features, probability = image_of(mar, label, look)
    step = (mar(features, probability) - features)[0]
    assert step[:, 7, 7].abs().max() < 0.05
    assert step[:, 0, 0].abs().min() > 0.9


def test_features_like_the_memory_stay() -> None:
    mar = refinement()
    features, probability = image_of(mar, LABEL, torch.zeros(CLASSES, C))
    torch.testing.assert_close(mar(features, probability), features, atol=1e-5, rtol=1e-5)


def test_images_of_a_batch_do_not_touch_each_other() -> None:
    mar = refinement()
    x, probability = torch.randn(2, C, 10, 12), torch.randn(2, CLASSES, 10, 12).softmax(dim=1)
    both = mar(x, probability)
    for i in range(2):
        torch.testing.assert_close(both[i : i + 1], mar(x[i : i + 1], probability[i : i + 1]))


def computes_halves() -> bool:
    """Whether this torch convolves float16 on a CPU; before 2.3 it does not."""
    try:
        torch.conv2d(torch.zeros(1, 1, 1, 1).half(), torch.zeros(1, 1, 1, 1).half())
    except RuntimeError:
        return False
    return True


@pytest.mark.skipif(not computes_halves(), reason="this torch has no float16 on a CPU")
@pytest.mark.parametrize("size", [(10, 12), (400, 600)])
def test_sums_of_half_precision_stay_in_range(size: tuple[int, int]) -> None:
    mar = refinement()
    x = 8 + torch.randn(1, C, *size)
    probability = torch.randn(1, CLASSES, *size).softmax(dim=1)
    wanted = mar(x, probability)
    found = mar.half()(x.half(), probability)
    torch.testing.assert_close(found.float(), wanted, atol=0.05, rtol=0.02)
