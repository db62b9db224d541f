"""What the shipped network sees lies where it is, at any size of the image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stmem_ros.data.synthetic.drive import drive
from stmem_ros.data.synthetic.scene import make_scene
from stmem_ros.model.bundle import BundledSegmenter, load_bundle
from stmem_ros.model.pyramid import upsample_twofold
from stmem_ros.streaming.segmenter import StreamingSegmenter


@pytest.mark.parametrize("size", [(14, 18), (13, 17)])
def test_a_level_of_a_cut_map_is_the_cut_level(size: tuple[int, int]) -> None:
    coarse = torch.randn(1, 3, 7, 9)
    whole = F.interpolate(coarse, (14, 18), mode="bilinear", align_corners=False)
    assert torch.equal(upsample_twofold(coarse, size), whole[..., : size[0], : size[1]])


@pytest.fixture(scope="module")
def onboard() -> BundledSegmenter:
    return load_bundle("onboard", "cpu")


@pytest.mark.parametrize("size", [(354, 470), (341, 460), (334, 440)])
def test_an_image_cut_to_an_odd_size_keeps_its_labels(
    onboard: BundledSegmenter, size: tuple[int, int]
) -> None:
    """A pyramid whose levels are stretched to one another moves 1 to 2 % of them."""
    height, width = size
    rgb = next(drive(make_scene("crowded", 700), 1)).view.rgb
    whole = StreamingSegmenter(onboard).push(rgb, 0.0).label[:height, :width]
    cut = StreamingSegmenter(onboard).push(np.ascontiguousarray(rgb[:height, :width]), 0.0).label
    assert (whole == cut).mean() > 0.995
