"""The data sets by their names."""

from __future__ import annotations

from pathlib import Path

from stmem_ros.data.camvid import CamVid
from stmem_ros.data.checked_dataset import CheckedDataset
from stmem_ros.data.cityscapes import Cityscapes
from stmem_ros.data.dataset import DatasetError, SegmentationDataset
from stmem_ros.data.idd_lite import IddLite
from stmem_ros.data.synthetic.dataset import SyntheticDrives
from stmem_ros.data.video_folder import VideoFolder

DATASETS = ("camvid", "cityscapes", "idd_lite", "video_folder", "synthetic")


def open_dataset(
    name: str, root: Path, split: str, before: int = 0, after: int = 0, missing: str = "error"
) -> CheckedDataset:
    """Open a split by the name of its data set, one of ``DATASETS``.

    Args:
        root: the data set's folder; the synthetic world needs none.
        before, after: frames around a labelled one that a window needs; only Cityscapes, where one
            frame of each snippet is labelled, has to be told.
        missing: where such a frame is not on disk: ``error``, or ``repeat`` its neighbour.

    Raises:
        DatasetError: unknown name, or the data are not there as documented.
    """
    return CheckedDataset(_open(name, root, split, before, after, missing))


def _open(
    name: str, root: Path, split: str, before: int, after: int, missing: str
) -> SegmentationDataset:
    if name == "camvid":
        return CamVid(root, split)
    if name == "cityscapes":
        return Cityscapes(root, split, before, after, missing)
    if name == "idd_lite":
        return IddLite(root, split)
    if name == "video_folder":
        return VideoFolder(root, split)
    if name == "synthetic":
        return SyntheticDrives(split)
    raise DatasetError(f"data set is {name!r}; allowed: {', '.join(DATASETS)}")
