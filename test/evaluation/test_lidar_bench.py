"""The costmap of a bag against lidar: here that of the synthetic world, made from its depth."""

import json
from pathlib import Path

import numpy as np
import pytest

from stmem_ros.bench.lidar import bench_lidar, lidar_cells
from stmem_ros.classes import CAMVID
from stmem_ros.commands.stmem import main
from stmem_ros.costmap.grid import GridSnapshot
from stmem_ros.costmap.rules import default_rules
from stmem_ros.data.synthetic.bag import create_synthetic_bag
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, drive
from stmem_ros.data.synthetic.scene import ID, make_scene
from stmem_ros.frames import CameraFrame, LabelledFrame
from stmem_ros.geometry.rays import ray_table
from stmem_ros.pipeline import Pipeline

FRAMES = 4
RULES = default_rules(CAMVID)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list]:
    """A bag, the lidar of its frames (in the camera's place), and the true labels."""
    folder = tmp_path_factory.mktemp("recording")
    create_synthetic_bag(folder / "bag", "straight", 700, FRAMES, 10.0)
    (folder / "lidar").mkdir()
    pose = MOUNTING.base_from_camera().tolist()
    (folder / "calibration.json").write_text(json.dumps({"base_T_velodyne": pose}))
    frames = list(drive(make_scene("straight", 700), FRAMES, 10.0))
    for i, frame in enumerate(frames):
        points = (ray_table(CAMERA) * frame.view.depth[..., None])[::3, ::3].reshape(-1, 3)
        points = points[np.isfinite(points).all(axis=1) & (points[:, 2] < 60)]
        np.savez(folder / "lidar" / f"{i:04d}.npz", xyz_cm=(100 * points).round().astype(np.int16))
    return folder / "bag", folder, [frame.view.label for frame in frames]


def labels_of(labels: list):
    given = iter(labels)

    def label(pipeline: Pipeline, frame: CameraFrame) -> LabelledFrame:
        return pipeline.labelled_frame(
            frame, next(given), np.full(frame.rgb.shape[:2], 255, np.uint8)
        )

    return label


def test_true_labels_agree_with_lidar(recording, tmp_path: Path) -> None:
    bag, lidar, labels = recording
    pictures = tmp_path / "pictures"
    shares = bench_lidar(bag, lidar, RULES, None, labels_of(labels), pictures, resolutions=(0.2,))[
        0.2
    ]
    assert shares.occupied_free < 0.03
    # What a lorry's overhang may cover is doubtful, and cars are taken for lorries.
    assert shares.open_known > 0.97 and shares.open_sure > 0.85 and shares.open_lethal < 0.05
    assert 0 < shares.doubtful_occupied < 1
    assert len(list(pictures.glob("*.png"))) == FRAMES


def test_labels_that_take_all_for_road_are_found_out(recording) -> None:
    bag, lidar, labels = recording
    road = [np.full_like(label, ID["road"]) for label in labels]
    shares = bench_lidar(bag, lidar, RULES, None, labels_of(road), resolutions=(0.2,))[0.2]
    assert shares.occupied_free > 0.5


def test_cells_are_sorted_by_the_points_in_them() -> None:
    empty = np.zeros((10, 10), np.int8)
    grid = GridSnapshot((0.0, -5.0), 1.0, empty.view(np.uint8), empty, empty.view(np.uint8), {})
    points = np.array(
        [
            [2.5, 0.5, 0.0],  # ground
            [4.5, 0.5, 0.0],  # ground and something low: neither
            [4.5, 0.6, 0.2],
            [6.5, 0.5, 1.0],  # occupied
            [8.5, 0.654, 0.05],  # ground, in the same direction beyond
        ]
    )
    cells = lidar_cells(grid, np.eye(4), points)
    assert np.argwhere(cells.occupied).tolist() == [[5, 6]]
    assert np.argwhere(cells.ground).tolist() == [[5, 2], [5, 8]]
    assert np.argwhere(cells.open).tolist() == [[5, 2]]


def test_a_folder_without_lidar_is_named(tmp_path: Path, capsys) -> None:
    arguments = ["bench", "costmap", "--bag", str(tmp_path), "--lidar", str(tmp_path)]
    assert main(arguments) != 0
    assert "--lidar needs --model" in capsys.readouterr().err
    assert main([*arguments, "--model", "onboard"]) != 0
    assert "calibration.json" in capsys.readouterr().err
