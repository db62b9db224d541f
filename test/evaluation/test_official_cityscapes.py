"""mIoU equals what the official cityscapesscripts make of the same predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stmem_ros.data.cityscapes import TRAIN_IDS
from stmem_ros.evaluation.metrics.confusion import ConfusionMatrix

official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")


def test_miou_equals_the_official_score(tmp_path: Path) -> None:
    from cityscapesscripts.helpers.labels import labels

    train_ids = {label.id: label.trainId for label in labels if label.id >= 0}
    assert all(TRAIN_IDS[i] == t for i, t in train_ids.items())

    random = np.random.default_rng(0)
    confusion = ConfusionMatrix(19)
    pairs: tuple[list[str], list[str]] = ([], [])
    of_train_id = np.zeros(256, np.uint8)
    for label_id, train_id in train_ids.items():
        if train_id != 255:
            of_train_id[train_id] = label_id
    for i in range(3):
        truth = random.integers(0, 34, (32, 64)).astype(np.uint8)
        predicted = of_train_id[random.integers(0, 19, (32, 64))]
        right = random.random((32, 64)) < 0.6
        predicted[right] = truth[right]  # some are ids that are not scored
        for name, pixels, paths in (("pred", predicted, pairs[0]), ("gt", truth, pairs[1])):
            path = tmp_path / f"{name}{i}_gtFine_labelIds.png"
            Image.fromarray(pixels).save(path)
            paths.append(str(path))
        confusion.add(TRAIN_IDS[truth], TRAIN_IDS[predicted])

    official.args.evalInstLevelScore = False
    official.args.quiet = True
    official.args.JSONOutput = False
    result = official.evaluateImgLists(*pairs, official.args)
    assert confusion.miou == pytest.approx(result["averageScoreClasses"], abs=1e-12)
    for label in labels:
        if label.trainId not in (255, -1):
            want = result["classScores"][label.name]
            assert confusion.iou[label.trainId] == pytest.approx(want, abs=1e-12)
