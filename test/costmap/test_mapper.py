"""From labels to the grid, against the synthetic world's ground truth."""

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.grid import GridConfig
from stmem_ros.costmap.lower_edges import contact_line
from stmem_ros.costmap.mapper import SemanticMapper
from stmem_ros.costmap.projection import sharpness
from stmem_ros.costmap.rules import Kind, default_rules
from stmem_ros.data.synthetic.drive import CAMERA, MOUNTING, DriveFrame, drive, ego_pose
from stmem_ros.data.synthetic.render import render
from stmem_ros.data.synthetic.scene import ID, Solid, ground_truth, make_scene
from stmem_ros.geometry.camera import Mounting, quarter_turns
from stmem_ros.geometry.ground import meet_ground

RULES = default_rules(CAMVID)
CONFIG = GridConfig(size=40.0, resolution=0.2, max_range=20.0)
CAMERA_FROM_BASE = np.linalg.inv(MOUNTING.base_from_camera())


@cache
def rendered(kind: str) -> tuple[DriveFrame, ...]:
    """The beginning of a drive at 5 Hz, as long as tests need it."""
    return tuple(drive(make_scene(kind, 5), {"straight": 8, "crowded": 1}[kind], rate=5.0))


def map_drive(kind: str, frames: int, odometry: bool = True):
    """The grid after a drive with perfect labels; also scene, last frame and time."""
    scene = make_scene(kind, 5)
    mapper = SemanticMapper(CONFIG, RULES)
    for frame in rendered(kind)[:frames]:
        sure = np.full_like(frame.view.label, 255)
        pose = frame.world_from_base if odometry else None
        update = mapper.update(frame.view.label, sure, frame.stamp, CAMERA, CAMERA_FROM_BASE, pose)
    return update, scene, frame


def truth(update, scene, seconds: float) -> np.ndarray:
    n = update.grid.label.shape[0]
    x = update.grid.origin[0] + (np.arange(n) + 0.5) * update.grid.resolution
    y = update.grid.origin[1] + (np.arange(n) + 0.5) * update.grid.resolution
    return ground_truth(scene, seconds, *np.meshgrid(x, y))


def test_ground_lies_where_it_is() -> None:
    update, scene, frame = map_drive("straight", 8)
    real = truth(update, scene, frame.stamp)
    road = next(c.id for c in CAMVID if c.name == "road")
    known = update.grid.label != 255
    assert known.sum() > 4000
    mine, theirs = (update.grid.label == road) & known, (real == road) & known
    assert (mine & theirs).sum() / (mine | theirs).sum() > 0.9


def test_the_grid_lies_in_odom_and_its_origin_is_snapped() -> None:
    update, *_ = map_drive("straight", 4)
    steps = np.array(update.grid.origin) / CONFIG.resolution
    assert np.allclose(steps, np.round(steps))
    robot = ego_pose(make_scene("straight", 5), 3 / 5.0)[:2, 3]
    centre = np.array(update.grid.origin) + CONFIG.size / 2
    assert np.abs(centre - robot).max() <= CONFIG.resolution


def test_obstacles_stand_where_they_touch_the_ground() -> None:
    update, scene, frame = map_drive("crowded", 1)
    near = np.hypot(*update.obstacles[:, :2].T) < 12
    pose = frame.world_from_base
    x, y, _ = (update.obstacles @ pose[:3, :3].T + pose[:3, 3]).T
    car = next(c.id for c in CAMVID if c.name == "car")
    mine = near & (update.obstacle_labels == car)
    assert mine.sum() > 20
    around = [
        ground_truth(scene, frame.stamp, x[mine] + dx, y[mine] + dy) == car
        for dx in (-0.4, 0, 0.4)
        for dy in (-0.4, 0, 0.4)
    ]
    assert np.logical_or.reduce(around).mean() > 0.9


def test_without_odometry_the_grid_lies_in_the_base_frame_without_memory() -> None:
    many, *_ = map_drive("straight", 5, odometry=False)
    mapper = SemanticMapper(CONFIG, RULES)
    frame = rendered("straight")[4]
    sure = np.full_like(frame.view.label, 255)
    one = mapper.update(frame.view.label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, None)
    assert np.array_equal(many.grid.label, one.grid.label)
    assert many.grid.origin == (-20.0, -20.0)


def test_nothing_above_the_horizon_and_no_sky_is_placed() -> None:
    label = np.zeros((360, 480), np.uint8)  # all sky
    mapper = SemanticMapper(CONFIG, RULES)
    update = mapper.update(label, label + 255, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    assert (update.grid.cost == -1).all()
    top = np.array([[240.0, 10.0], [240.0, 350.0]])
    assert meet_ground(CAMERA.rays(top), CAMERA_FROM_BASE)[1].tolist() == [False, True]


def test_only_the_contact_line_of_an_obstacle_is_placed() -> None:
    kinds = np.full((6, 4), Kind.GROUND, np.uint8)
    kinds[1:4, 1] = Kind.OBSTACLE
    kinds[5, 3] = Kind.OBSTACLE  # cut by the image's edge
    kinds[0, 2] = Kind.OBSTACLE
    kinds[1, 2] = Kind.IGNORE
    labels = np.full((6, 4), ID["road"], np.uint8)
    kinds[2:4, 0] = Kind.OBSTACLE, Kind.IGNORE
    labels[3, 0] = 255  # cut off by a mask
    assert np.argwhere(contact_line(kinds, labels)).tolist() == [[2, 0], [3, 1], [5, 3]]


def test_what_a_mask_covers_is_no_ground_and_no_obstacle() -> None:
    frame = rendered("crowded")[0]
    masked = np.zeros(frame.view.label.shape, bool)
    masked[250:] = True

    def grid_of(under_mask: int):
        label = np.where(masked, np.uint8(under_mask), frame.view.label)
        mapper = SemanticMapper(CONFIG, RULES)
        sure = np.where(masked, np.uint8(0), np.uint8(255))
        pose = frame.world_from_base
        return mapper.update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, pose)

    update, whole = grid_of(255), map_drive("crowded", 1)[0]
    nearest = [np.hypot(*(u.obstacles[:, :2] - (1.4, 0)).T).min() for u in (update, whole)]
    assert (update.grid.cost >= 0).sum() < (whole.grid.cost >= 0).sum()
    assert set(np.unique(update.grid.label)) <= {*range(len(CAMVID)), 255}
    assert nearest[0] >= nearest[1]


def test_what_moves_and_stands_behind_the_hood_makes_doubtful_what_was_free_there() -> None:
    """A body whose feet the mask hides may stand where the mask hides the ground."""
    label = np.full((360, 480), ID["road"], np.uint8)
    label[:180] = ID["sky"]
    sure = np.full_like(label, 255)

    def free_ahead(x: float, masked: bool) -> bool:
        mapper = SemanticMapper(CONFIG, RULES)
        seen = (CAMERA, CAMERA_FROM_BASE, np.eye(4))
        mapper.update(label, sure, 0.0, *seen)
        person = label.copy()
        person[150:280, 200:280] = ID["pedestrian"]
        person[280:] = 255 if masked else ID["road"]
        for stamp in (0.1, 0.2):
            grid = mapper.update(person, sure, stamp, *seen).grid
        column, row = np.floor((np.array([x, 0.0]) - grid.origin) / 0.2).astype(int)
        assert (grid.cost == 100).any()
        return int(grid.cost[row, column]) == 0

    near = 1.4 + 1.45 / np.tan(np.arctan((320 - 170) / 375) + 0.03)  # what row 320 shows
    assert free_ahead(near, masked=False) and not free_ahead(near, masked=True)


def test_what_cannot_be_used_leaves_the_grid_as_it_was() -> None:
    frame = rendered("straight")[0]
    label, sure = frame.view.label, np.full_like(frame.view.label, 255)
    mapper = SemanticMapper(CONFIG, RULES)
    mapper.update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    before = mapper.grid.evidence.copy()
    with pytest.raises(ValueError, match=r"480 x 360.*480 x 100"):
        mapper.update(label[:100], sure[:100], 0.1, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    with pytest.raises(ValueError, match="finite"):
        mapper.update(label, sure, 0.1, CAMERA, CAMERA_FROM_BASE, np.full((4, 4), np.nan))
    assert np.array_equal(mapper.grid.evidence, before)


def looking(pitch: float, height: float = 1.45) -> np.ndarray:
    return np.linalg.inv(Mounting(height=height, pitch=pitch).base_from_camera())


def rolled(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.eye(4)
    turn[:2, :2] = [[c, -s], [s, c]]
    return turn @ CAMERA_FROM_BASE


@pytest.mark.parametrize(
    ("camera_from_base", "named"),
    [
        (looking(-1.2), r"20 m.*1\.45 m.* 69 "),
        (looking(0.0, height=-0.3), r"-0\.30 m"),
    ],
)
def test_a_camera_that_sees_no_ground_is_refused(camera_from_base: np.ndarray, named: str) -> None:
    frame = rendered("straight")[0]
    label, sure = frame.view.label, np.full_like(frame.view.label, 255)
    mapper = SemanticMapper(CONFIG, RULES)
    mapper.update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    before = mapper.grid.evidence.copy()
    with pytest.raises(ValueError, match=named):
        mapper.update(label, sure, 0.1, CAMERA, camera_from_base, np.eye(4))
    assert np.array_equal(mapper.grid.evidence, before)


def test_odometry_that_jumps_is_refused_and_believed_when_it_stays() -> None:
    frame = rendered("straight")[0]
    label, sure = frame.view.label, np.full_like(frame.view.label, 255)
    mapper = SemanticMapper(CONFIG, RULES)

    def at(x: float, stamp: float):
        pose = np.eye(4)
        pose[0, 3] = x
        return mapper.update(label, sure, stamp, CAMERA, CAMERA_FROM_BASE, pose)

    at(0.0, 0.0)
    before = mapper.grid.evidence.copy()
    with pytest.raises(ValueError, match=r"500\.0 m.* 0 degrees.*0\.10 s"):
        at(500.0, 0.1)
    assert np.array_equal(mapper.grid.evidence, before)
    assert at(0.5, 0.2).grid.origin[0] == pytest.approx(-19.4, abs=0.3)  # it was a glitch
    with pytest.raises(ValueError, match=r"499\.2 m"):
        at(500.0, 0.3)
    moved = at(501.0, 0.4).grid
    assert moved.origin[0] == pytest.approx(481, abs=0.2)
    assert (moved.label[:, :90] == 255).all()  # nothing of the old place is left


def test_what_is_under_a_car_is_not_free() -> None:
    """Ground seen below a car's body is not taken for free, and what was free is forgotten."""
    empty = make_scene("straight", 0)
    body = Solid("box", (12.0, 0.0, 0.6), (4.0, 1.8, 0.7), ID["car"], (90, 90, 90))
    before, after = (replace(empty, solids=solids) for solids in ((), (body,)))
    pose = MOUNTING.base_from_camera()
    mapper = SemanticMapper(CONFIG, RULES)
    for i, scene in enumerate((before, before, before, after)):
        label = render(scene, 0.0, CAMERA, pose).label
        update = mapper.update(
            label, np.full_like(label, 255), 0.1 * i, CAMERA, CAMERA_FROM_BASE, np.eye(4)
        )
    n = update.grid.label.shape[0]
    steps = -20 + 0.2 * (np.arange(n) + 0.5)
    x, y = np.meshgrid(steps, steps)
    under = (np.abs(y) < 0.8) & (x > 10.2) & (x < 13.8)
    road = update.grid.label == ID["road"]
    assert not road[under].any()
    assert road[(np.abs(y) < 0.8) & (x > 4) & (x < 6)].all()
    before_it = (np.abs(y) < 0.6) & (x > 9.6) & (x < 10.0)  # where a lorry may reach out to
    assert (update.grid.cost[before_it] == RULES.doubtful).all()
    assert (update.grid.label[before_it] == 255).all()


def test_doubtful_ground_is_unknown_to_rules_that_say_so() -> None:
    (frame,) = rendered("crowded")
    label = frame.view.label
    costs = []
    for rules in (RULES, replace(RULES, doubtful=-1)):
        mapper = SemanticMapper(CONFIG, rules)
        sure = np.full_like(label, 255)
        update = mapper.update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4))
        costs.append((update.grid.cost, update.grid.label))
    (with_cost, labels), (without, same) = costs
    doubtful = (labels == 255) & (with_cost >= 0)
    assert doubtful.sum() > 50 and (with_cost[doubtful] == RULES.doubtful).all()
    assert (without[doubtful] == -1).all() and np.array_equal(labels, same)
    assert np.array_equal(without[~doubtful], with_cost[~doubtful])


def in_cells(update) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the cell centres of a grid around the origin."""
    steps = -20 + 0.2 * (np.arange(update.grid.label.shape[0]) + 0.5)
    x, y = np.meshgrid(steps, steps)
    return x, y


def test_between_its_wheels_a_lorry_is_not_free_and_beyond_its_overhang_the_road_is() -> None:
    """A body 0.8 m over the ground with wheels 1 m behind its front."""
    empty = make_scene("straight", 0)
    car = ID["car"]
    body = Solid("box", (13.0, 0.0, 1.8), (6.0, 2.4, 2.0), car, (90, 90, 90))
    wheels = tuple(
        Solid("box", (11.2, side, 0.5), (0.4, 0.3, 1.0), car, (20, 20, 20)) for side in (-1.0, 1.0)
    )
    scene = replace(empty, solids=(body, *wheels))
    label = render(scene, 0.0, CAMERA, MOUNTING.base_from_camera()).label
    sure = np.full_like(label, 255)
    update = SemanticMapper(CONFIG, RULES).update(
        label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4)
    )
    x, y = in_cells(update)
    road = update.grid.label == ID["road"]
    assert not road[(np.abs(y) < 1.0) & (x > 10.0) & (x < 16.0)].any()
    assert road[(np.abs(y) < 0.8) & (x > 5.0) & (x < 8.0)].all()
    lethal = update.grid.cost == 100
    assert lethal[(np.abs(np.abs(y) - 1.0) < 0.3) & (np.abs(x - 11.1) < 0.4)].any()


def test_what_a_moving_obstacle_cut_off_by_the_image_covers_is_doubtful_then_unknown() -> None:
    """The road before the image's lower edge, once seen free, when a car fills that edge."""
    label = np.full((360, 480), ID["building"], np.uint8)
    label[200:] = ID["road"]
    sure = np.full_like(label, 255)
    mapper = SemanticMapper(CONFIG, RULES)
    for i in range(3):  # the window rolls by, so that cells leave the image below
        pose = np.eye(4)
        pose[0, 3] = 2.0 * i
        update = mapper.update(label, sure, 0.5 * i, CAMERA, CAMERA_FROM_BASE, pose)
    n = CONFIG.cells
    before = update.grid.label[n // 2, n // 2 + 12]  # 2.5 m ahead: below the image by now
    assert before == ID["road"]
    cut = label.copy()
    cut[150:] = ID["car"]
    costs = []
    for seconds in (1.5, 9.0):
        grid = mapper.update(cut, sure, seconds, CAMERA, CAMERA_FROM_BASE, pose).grid
        assert grid.label[n // 2, n // 2 + 12] == 255
        costs.append(grid.cost[n // 2, n // 2 + 12])
    assert costs == [RULES.doubtful, -1]


def test_ground_at_the_foot_of_a_wall_is_doubtful_and_nearer_it_is_free() -> None:
    label = np.full((360, 480), ID["road"], np.uint8)
    label[:220] = ID["building"]
    sure = np.full_like(label, 255)
    mapper = SemanticMapper(CONFIG, RULES)
    grid = mapper.update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4)).grid
    ahead = grid.cost[CONFIG.cells // 2, CONFIG.cells // 2 :]
    seen = ahead[ahead >= 0]
    changes = [seen[0], *(b for a, b in pairwise(seen) if a != b)]
    assert changes == [0, RULES.doubtful, 100]
    assert (seen == RULES.doubtful).sum() in (2, 3, 4)  # three pixels of some 0.2 m


def test_cameras_with_their_own_stamps_and_places_fill_one_grid() -> None:
    mapper = SemanticMapper(CONFIG, RULES)
    label = np.full((360, 480), ID["road"], np.uint8)
    sure = np.full_like(label, 255)
    for i, yaw in enumerate((np.pi / 2, -np.pi / 2)):  # to the left, then to the right
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        camera_from_base = np.linalg.inv(turn @ MOUNTING.base_from_camera())
        pose = np.eye(4)
        pose[0, 3] = 0.4 * i
        update = mapper.update(label, sure, 0.05 * i, CAMERA, camera_from_base, pose)
    n = CONFIG.cells
    road = update.grid.label == ID["road"]
    assert road[n // 2 + 50, n // 2 - 2] and road[n // 2 - 50, n // 2]  # 10 m to either side
    assert not road[n // 2, n // 2 + 50]  # ahead nobody looks


@pytest.mark.parametrize("degrees", [-90, -60, -20, 20, 60, 90, 180])
@pytest.mark.parametrize("with_depth", [False, True])
def test_a_camera_may_be_mounted_on_its_side_or_upside_down(
    degrees: float, with_depth: bool
) -> None:
    """A marker 10 m ahead stands there, and the road before it is free."""
    box = Solid("box", (11.0, 0.0, 0.75), (2.0, 1.8, 1.5), ID["building"], (90, 90, 90))
    scene = replace(make_scene("straight", 0), solids=(box,))
    camera_from_base = rolled(degrees)
    view = render(scene, 0.0, CAMERA, np.linalg.inv(camera_from_base))
    sure = np.full_like(view.label, 255)
    update = SemanticMapper(CONFIG, RULES).update(
        view.label, sure, 0.0, CAMERA, camera_from_base, np.eye(4),
        view.depth if with_depth else None,
    )  # fmt: skip
    x, y = in_cells(update)
    front = x[(update.grid.cost == 100) & (np.abs(y) < 0.7)].min() - 0.1
    assert front == pytest.approx(10.0, abs=0.21)
    assert (update.grid.cost[(np.abs(x - 7.0) < 1.0) & (np.abs(y) < 0.7)] == 0).all()
    if update.cloud is not None:
        assert np.nanmax(np.abs(update.cloud[view.label == ID["road"]][:, 2])) < 0.05


def test_a_heading_that_jumps_is_refused() -> None:
    label = np.full((360, 480), ID["road"], np.uint8)
    sure = np.full_like(label, 255)
    mapper = SemanticMapper(CONFIG, RULES)
    mapper.update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r" 0\.0 m.* 180 degrees.*0\.10 s"):
        mapper.update(label, sure, 0.1, CAMERA, CAMERA_FROM_BASE, turned)


def test_cameras_whose_stamps_interleave_share_one_grid_while_driving() -> None:
    """Three at 20 m/s, two of them 0.08 s behind: nothing jumps, ages twice or rolls back."""
    label = np.full((360, 480), ID["road"], np.uint8)
    sure = np.full_like(label, 255)
    mappers = [SemanticMapper(CONFIG, RULES) for _ in range(2)]
    for i in range(10):
        for mapper, lags in zip(mappers, ((0.0,), (0.0, 0.08, 0.08)), strict=True):
            for lag in lags:
                stamp = 0.1 * i - lag
                pose = np.eye(4)
                pose[0, 3] = 20.0 * stamp
                before = mapper.grid.corner
                mapper.update(label, sure, stamp, CAMERA, CAMERA_FROM_BASE, pose)
                assert lag == 0 or mapper.grid.corner == before
    alone, together = (mapper.grid.snapshot().cost == 0 for mapper in mappers)
    assert together[alone].all()
    # Where the last images do not look, the evidence of the first has faded alike.
    n = CONFIG.cells
    behind = [m.grid.evidence[ID["road"], n // 2, n // 2 - 20] for m in mappers]
    assert 0 < behind[0] <= behind[1]


def test_between_two_cars_before_a_wall_nothing_stands() -> None:
    cars = tuple(
        Solid("box", (11.0, side, 0.75), (4.0, 1.8, 1.5), ID["car"], (90, 90, 90))
        for side in (-3.5, 3.5)
    )
    wall = Solid("box", (19.0, 0.0, 2.0), (1.0, 20.0, 4.0), ID["building"], (90, 90, 90))
    scene = replace(make_scene("straight", 0), solids=(*cars, wall))
    label = render(scene, 0.0, CAMERA, MOUNTING.base_from_camera()).label
    update = SemanticMapper(CONFIG, RULES).update(
        label, np.full_like(label, 255), 0.0, CAMERA, CAMERA_FROM_BASE, np.eye(4)
    )
    x, y = in_cells(update)
    assert not (update.grid.cost == 100)[(np.abs(y) < 2.0) & (x < 14.0)].any()


def test_pitch_that_changes_while_driving_is_followed() -> None:
    """A marker 10 m ahead stays there while the vehicle nods."""
    empty = make_scene("straight", 0)
    box = Solid("box", (11.0, 0.0, 0.75), (2.0, 1.8, 1.5), ID["building"], (90, 90, 90))
    scene = replace(empty, solids=(box,))
    for pitch in (-0.02, 0.0, 0.03):
        camera = Mounting(MOUNTING.height, MOUNTING.pitch + pitch, MOUNTING.forward)
        label = render(scene, 0.0, CAMERA, camera.base_from_camera()).label
        sure, place = np.full_like(label, 255), np.linalg.inv(camera.base_from_camera())
        update = SemanticMapper(CONFIG, RULES).update(label, sure, 0.0, CAMERA, place, np.eye(4))
        x, y = in_cells(update)
        front = x[(update.grid.cost == 100) & (np.abs(y) < 0.7)].min() - 0.1
        assert front == pytest.approx(10.0, abs=0.21)


def tilted(degrees: float, x: float = 0.0) -> np.ndarray:
    """A pose in odom that looks down by some degrees, and leans to the right by half of them."""
    (a, b), (c, d) = (t(np.radians((degrees / 2, degrees))) for t in (np.cos, np.sin))
    pose = np.eye(4)
    roll = np.array([[1, 0, 0], [0, a, -c], [0, c, a]])
    pose[:3, :3] = np.array([[b, 0, d], [0, 1, 0], [-d, 0, b]]) @ roll
    pose[0, 3] = x
    return pose


@pytest.mark.parametrize("turns", [0, 1])
@pytest.mark.parametrize("depth", [False, True])
def test_on_level_ground_a_body_that_nods_and_leans_in_odometry_is_followed(
    depth: bool, turns: int
) -> None:
    """The camera is fixed to the base; odometry alone tells of the nod."""
    empty = make_scene("straight", 0)
    box = Solid("box", (21.0, 0.0, 0.75), (2.0, 1.8, 1.5), ID["building"], (90, 90, 90))
    config = replace(CONFIG, size=60.0, resolution=0.1, max_range=25.0, level_ground=True)
    mapper = SemanticMapper(config, RULES)
    camera = CAMERA.turned(turns) if turns else CAMERA
    camera_from_base = quarter_turns(turns) @ CAMERA_FROM_BASE
    for i, x in enumerate(np.arange(0.0, 12.0, 1.0)):
        pose = tilted(2 * np.cos(i), x)
        view = render(
            replace(empty, solids=(box,)), 0.0, CAMERA, pose @ MOUNTING.base_from_camera()
        )
        label, distance = (np.rot90(image, turns).copy() for image in (view.label, view.depth))
        update = mapper.update(
            label, np.full_like(label, 255), 0.1 * i, camera, camera_from_base, pose,
            distance if depth else None,
        )  # fmt: skip
        seen = update.obstacles[update.obstacle_labels == ID["building"]]
        place = seen @ pose[:3, :3].T + pose[:3, 3]
        near = place[np.abs(place[:, 1]) < 0.7]
        pixel = (20 - x) ** 2 / (375 * MOUNTING.height)
        assert near[:, 0].min() == pytest.approx(20.0, abs=0.1 + pixel)
        if not depth:
            assert near[:, 2] == pytest.approx(0.1, abs=1e-6)
            continue
        cloud = update.cloud @ pose[:3, :3].T + pose[:3, 3]
        on_road = cloud[(label == ID["road"]) & np.isfinite(cloud[..., 2])]
        assert np.abs(on_road[:, 2]).max() < 0.05
    y, x = np.argwhere(update.grid.cost == 100).T * 0.1
    assert (x + update.grid.origin[0])[np.abs(y + update.grid.origin[1]) < 0.7].min() == (
        pytest.approx(20.0, abs=0.3)
    )


def test_on_a_slope_the_ground_is_the_bases() -> None:
    """Unless the ground is said to be level."""
    scene, sure = make_scene("crowded", 5), np.full((360, 480), 255, np.uint8)
    label = render(scene, 0.0, CAMERA, MOUNTING.base_from_camera()).label
    on_slope, on_flat, level = (
        SemanticMapper(config, RULES).update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, pose)
        for config, pose in (
            (CONFIG, tilted(5.0)),
            (CONFIG, np.eye(4)),
            (replace(CONFIG, level_ground=True), tilted(5.0)),
        )
    )
    assert np.array_equal(on_slope.obstacles, on_flat.obstacles)
    assert len(level.obstacles) and not np.array_equal(level.obstacles, on_flat.obstacles)


def test_a_base_on_its_side_is_refused_where_the_ground_is_level() -> None:
    label, sure = np.zeros((360, 480), np.uint8), np.full((360, 480), 255, np.uint8)
    mapper = SemanticMapper(replace(CONFIG, level_ground=True), RULES)
    with pytest.raises(ValueError, match=r" 64 degrees.* 45 "):
        mapper.update(label, sure, 0.0, CAMERA, CAMERA_FROM_BASE, tilted(60.0))


def driven(velocity: tuple[float, float], labels_of_car: slice, edge: int = 255) -> np.ndarray:
    """Costs where a car is after it drove over road that was seen free, 9 m ahead in the end.

    Args:
        velocity: of the car, m per image.
        labels_of_car: the images in which it is seen as what it is; road in the others.
        edge: confidence up to three pixels from its edges, as labels of a network are unsure there.
    """
    empty = replace(make_scene("straight", 0), solids=())
    mapper = SemanticMapper(CONFIG, RULES)
    shown = np.zeros(12, bool)
    shown[labels_of_car] = True
    for i, seen in enumerate(shown):
        x, y = np.add((9.0, 2.0), np.multiply(velocity, i - 11))
        car = Solid("box", (x + 2, y, 0.7), (4.0, 1.8, 1.4), ID["car"], (90, 90, 90))
        solids = (car,) if seen else ()
        label = render(
            replace(empty, solids=solids), 0.0, CAMERA, MOUNTING.base_from_camera()
        ).label
        mask = (label == ID["car"]).astype(np.uint8)
        at_edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((7, 7), np.uint8))
        confidence = np.where(at_edge, np.uint8(edge), np.uint8(255))
        update = mapper.update(label, confidence, 0.1 * i, CAMERA, CAMERA_FROM_BASE, np.eye(4))
    grid_x, grid_y = in_cells(update)
    return update.grid.cost[(np.abs(grid_x - x) < 0.3) & (np.abs(grid_y - y) < 0.8)]


@pytest.mark.parametrize("velocity", [(-1.0, 0.0), (0.0, -0.8)])  # towards the camera, across
@pytest.mark.parametrize("edge", [130, 255])
def test_a_car_that_drives_over_free_road_is_lethal_when_it_is_seen_twice(
    velocity: tuple[float, float], edge: int
) -> None:
    assert (driven(velocity, np.s_[10:], edge) == 100).sum() >= 6
    assert not (driven(velocity, np.s_[11:], edge) == 100).any()  # a wrong image plants nothing


def test_trust_falls_with_distance() -> None:
    points = np.array([[3.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
    near, middle, far = 255 * sharpness(points, CAMERA, CAMERA_FROM_BASE)
    assert 0.97 < near < 1 and near > middle > far
    assert far == pytest.approx(1 / (1 + (18.6**2 + 1.45**2) / (375 * 1.45)), rel=1e-3)


@pytest.mark.slow
def test_ten_thousand_updates_take_no_more_memory() -> None:
    """A drive in circles; the first thousand fill what is kept."""
    (frame,) = rendered("crowded")
    sure = np.full_like(frame.view.label, 255)
    mapper = SemanticMapper(CONFIG, RULES)
    resident = []
    for i in range(10_000):
        pose = np.eye(4)
        cos, sin = np.cos(0.01 * i), np.sin(0.01 * i)
        pose[:2, :2] = [[cos, -sin], [sin, cos]]
        pose[:2, 3] = 50 * sin, -50 * cos
        mapper.update(frame.view.label, sure, 0.1 * i, CAMERA, CAMERA_FROM_BASE, pose)
        if i % 1000 == 999:
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]))
    assert max(resident[1:]) - resident[0] < 2000  # pages of 4 KiB


def walked(steps: int, known_free: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Costs after images of somebody who walks at 1.5 m/s, 14 m ahead, across a road seen free.

    As networks label people: too short by two pixels, unsure of the feet and of the road below.
    Also where they stand in the last image, x and y.
    """
    empty = replace(make_scene("straight", 0), solids=())
    mapper, costs = SemanticMapper(CONFIG, RULES), []
    pose = MOUNTING.base_from_camera()
    place = np.array([14.0, 0.0])
    for i in range(known_free + steps):
        place = np.array([14.0, 0.15 * (i - known_free)])
        body = Solid("cylinder", (*place, 0.9), (0.3, 0.4, 1.8), ID["pedestrian"], (9, 9, 9))
        solids = (body,) if i >= known_free else ()
        label = render(replace(empty, solids=solids), 0.0, CAMERA, pose).label
        person = label == ID["pedestrian"]
        confidence = np.where(person, 230, 255).astype(np.uint8)
        if solids:
            rows, columns = np.nonzero(person)
            lowest = rows.max()
            label[lowest - 1 : lowest + 1][person[lowest - 1 : lowest + 1]] = ID["road"]
            beside = np.s_[lowest - 3 : lowest + 3, columns.min() - 2 : columns.max() + 3]
            confidence[beside] = 130
        update = mapper.update(label, confidence, 0.1 * i, CAMERA, CAMERA_FROM_BASE, np.eye(4))
        costs.append(update.grid.cost)
    return costs, place


@pytest.mark.parametrize("known_free", [0, 5])
def test_somebody_whose_feet_labels_are_unsure_bars_the_way_from_the_second_image_on(
    known_free: int,
) -> None:
    costs, (x, y) = walked(2, known_free)
    steps = -20 + 0.2 * (np.arange(CONFIG.cells) + 0.5)
    near = np.hypot(*np.meshgrid(steps - x, steps - y)) <= 0.5
    assert (costs[-1][near] == 100).any()


def test_somebody_in_one_wrong_image_bars_no_way_that_was_seen_free() -> None:
    costs, _ = walked(1, 5)
    assert (costs[-2] == 0).any() and not (costs[-1] == 100).any()
