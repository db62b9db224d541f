"""A node and a robot that run, faults that are put in, and what is seen of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from catalogue import Fault, Grid, Labels
from domain_coordinator import domain_id
from robot import RATE, Robot, Sending, Sensor, Street
from support.forks import Fork
from support.ros import Peer, start_node
from watch import SeenGrid, Truth, Watch

from stmem_ros.model.bundle import bundle_folder
from stmem_ros.online.middleware import fast_dds_profile
from stmem_ros.resources import resource

CAMERAS = ("front", "rear")
PER_CAMERA = (Sensor.IMAGE, Sensor.CAMERA_INFO, Sensor.DEPTH)
RECOVERY = 2.0  # s after the end of a fault, until labels and grids come as before
PERIOD = 1.0  # s, of /diagnostics
STALE_AFTER = 1.0
LIMITS = {
    "costmap.stale_after": STALE_AFTER,
    "diagnostics.age_warn": 0.8,
    "diagnostics.age_error": 2.0,
    "diagnostics.still_warn": 0.8,
}
WRONG = 5  # cells of a grid that may be wrong beyond what they are without a fault, 0.2 m^2


@dataclass(frozen=True)
class Setup:
    """A node and a robot with some cameras."""

    cameras: int
    depth: bool
    simulated: bool


@dataclass
class Trial:
    """A running node, its robot, and who watches."""

    node: Fork
    peer: Peer
    robot: Robot
    watch: Watch
    truth: Truth
    usual: int  # wrong cells of a grid without a fault
    changed: list[float] = field(default_factory=list)  # times of what the fault changed

    def wait_until_well(self, seconds: float) -> None:
        """Labels, grids and diagnostics are as without faults."""
        watch, robot = self.watch, self.robot
        end = robot.seconds() + seconds
        while not self.is_well():
            assert robot.seconds() < end, f"not well after {seconds} s: {self.state()}"
            watch.wait(robot.seconds() + 0.05)

    def problems_of(self, fault: Fault) -> list[str]:
        """Put a fault in, wait until it is over; what was not as expected."""
        robot, watch = self.robot, self.watch
        began = robot.seconds()
        self._inject(fault, began)
        watch.wait(began + fault.seconds)
        ended = robot.seconds()
        robot.heal()
        found = Findings(self, fault, began, ended)
        problems = [*found.label_problems(), *found.grid_problems()]
        end = ended + RECOVERY
        while not self.comes_since(ended) and robot.seconds() < end:
            watch.wait(robot.seconds() + 0.05)
        if not self.comes_since(ended):
            problems.append(f"after {RECOVERY} s not as before: {self.state()}")
        watch.wait(ended + 1.1 * PERIOD)  # a status of after the end has come
        while self.last_status() and robot.seconds() < end + PERIOD:
            watch.wait(robot.seconds() + 0.05)
        if self.last_status():
            problems.append(f"{RECOVERY + PERIOD} s after the end still told: {self.last_status()}")
        problems += found.status_problems()
        is_right = fault.is_right_alone or len(watch.labels) > 1
        if is_right and (wrong := found.wrong_cells()) > self.usual + WRONG:
            problems.append(f"{wrong} cells of a grid are wrong, usually {self.usual}")
        report(found, problems)
        return problems

    def _inject(self, fault: Fault, began: float) -> None:
        change, self.changed = fault.make(), []

        def hook(sending: Sending) -> Iterable[Sending]:
            if sending.sensor is not fault.sensor or sending.camera not in ("", "front"):
                return [sending]
            self.changed.append(sending.seconds)
            return change(self.robot.seconds() - began, sending)

        self.robot.hook = hook
        if fault.sensor is Sensor.STATIC_TRANSFORM:
            self.robot.send_static_transforms()

    def comes_since(self, seconds: float) -> bool:
        """Labels and grids of images since a time of the robot come."""
        return self.labels_come(seconds) and self.grid_comes(seconds)

    def is_well(self) -> bool:
        return self.labels_come() and self.grid_comes() and self.last_status() == ""

    def labels_come(self, since: float | None = None) -> bool:
        """Labels of each camera came in the last moments, of images of the last moments."""
        now = self.robot.seconds()
        since = now - 1.0 if since is None else since
        return all(
            any(label.at > now - 0.6 and label.seconds > since for label in list(labels))
            for labels in self.watch.labels.values()
        )

    def grid_comes(self, since: float | None = None) -> bool:
        now = self.robot.seconds()
        since = now - 1.0 if since is None else since
        grids = list(self.watch.grids)[-3:]
        return any(g.at > now - 0.6 and g.seconds > since and not g.is_unknown for g in grids)

    def last_status(self) -> str:
        return self.watch.statuses[-1].text if self.watch.statuses else "no diagnostics yet"

    def state(self) -> str:
        return f"labels {self.labels_come()}, grid {self.grid_comes()}, {self.last_status()!r}"


def start(setup: Setup, folder: Path) -> Fork:
    """The node, with the shipped network."""
    arguments = {
        "cameras": "[" + ",".join(CAMERAS[: setup.cameras]) + "]",
        "depth": str(setup.depth).lower(),
        "use_sim_time": str(setup.simulated).lower(),
        "inference_height": "-1",  # of small images, so that two cores keep up with two cameras
        **LIMITS,
    }
    words = [word for name, value in arguments.items() for word in ("-p", f"{name}:={value}")]
    log = folder / f"node{len(list(folder.iterdir()))}.log"
    return start_node(bundle_folder("onboard"), log, *words)


@contextmanager
def running(setup: Setup, folder: Path, rate: float = RATE) -> Iterator[Trial]:
    """A node and its robot, well and known in their usual state."""
    cameras = list(CAMERAS[: setup.cameras])
    with domain_id() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("ROS_LOG_DIR", str(folder))
        # As the launch files do: an image and its depth are more than DDS keeps by default.
        profile = resource("config", "fastdds_this_machine.xml")
        patch.setenv(fast_dds_profile(), str(profile))
        node = start(setup, folder)
        peer = Peer()
        robot = Robot(peer.node, Street(cameras, rate), setup.depth, setup.simulated)
        trial = Trial(node, peer, robot, Watch(peer, robot, cameras), Truth(), usual=0)
        try:
            robot.start()
            trial.wait_until_well(60.0)
            trial.watch.wait(robot.seconds() + 6.0)  # a round trip
            grids = [g for g in trial.watch.grids if not g.is_unknown]
            trial.usual = max(trial.truth.wrong_cells(g, np.eye(4)) for g in grids)
            yield trial
            assert trial.node.is_running(), trial.node.text()
            trial.node.interrupt()
            assert trial.node.exit_code(10.0) == 0, trial.node.text()
        finally:
            robot.close()
            peer.close()
            trial.node.close()


@dataclass(frozen=True)
class Findings:
    """What was seen while a fault lasted."""

    trial: Trial
    fault: Fault
    began: float
    ended: float

    def labels(self, camera: str) -> int:
        """How many came in the last second."""
        labels = list(self.trial.watch.labels[camera])
        return sum(self.ended - 1.0 < label.at <= self.ended for label in labels)

    def grids(self) -> list[SeenGrid]:
        return [g for g in list(self.trial.watch.grids) if g.at > self.began]

    def told(self, after: float = 0.0) -> str:
        """While it lasted, and so many seconds after it."""
        statuses = list(self.trial.watch.statuses)
        texts = (s.text for s in statuses if self.began < s.at <= self.ended + after)
        return " | ".join(dict.fromkeys(text for text in texts if text))

    def wrong_cells(self) -> int:
        """Of the worst grid that came since the fault began."""
        counts, changed = [0], self.trial.changed
        for grid in self.grids():
            # Not since the fault began: the robot may be a little behind with what it sends.
            moved = bool(changed) and changed[0] - 0.01 < grid.seconds < changed[-1] + 0.01
            pose = self.fault.street_from_odom if moved else np.eye(4)
            if not grid.is_unknown:
                counts.append(self.trial.truth.wrong_cells(grid, pose))
        return max(counts)

    def label_problems(self) -> list[str]:
        """What is not as expected of labels, asked when it ends; as of the grid."""
        problems = []
        for camera in self.trial.watch.labels:
            count = self.labels(camera)
            wanted = self.fault.labels
            if camera != "front" and self.fault.sensor in PER_CAMERA:
                wanted = Labels.GO_ON
            right = {
                Labels.GO_ON: count >= 0.5 * RATE,
                Labels.FEWER: count > 0,
                Labels.STOP: count == 0,
            }[wanted]
            if not right:
                problems.append(f"labels of {camera}: {count} in a second, they should {wanted}")
        return problems

    def grid_problems(self) -> list[str]:
        alone = len(self.trial.watch.labels) == 1 or not self.fault.survives_alone
        wanted = self.fault.grid if alone else Grid.GOES_ON
        grids = self.grids()
        late = [g for g in grids if g.at > self.ended - 1.0]
        goes_on = any(not g.is_unknown for g in late)
        if wanted is Grid.GOES_ON and not goes_on:
            return ["no grid in the last second"]
        if wanted is Grid.GOES_ON_OR_TOLD and not goes_on and not self.told():
            return ["no grid in the last second, and nothing was told"]
        if wanted is Grid.TAKEN_BACK and not (grids and grids[-1].is_unknown):
            return ["the last grid was not taken back"]
        return []

    def status_problems(self) -> list[str]:
        """What is not as expected of /diagnostics, asked a period after it ends."""
        if self.fault.told is None:
            return []
        if not self.fault.told:
            return [f"told: {told}"] if (told := self.told()) else []
        if self.fault.told not in (told := self.told(PERIOD)):
            return [f"{self.fault.told!r} is not in what was told: {told!r}"]
        return []


def report(found: Findings, problems: list[str]) -> None:
    """A line of what was seen, in the file of ``STMEM_FAULTS``."""
    if path := os.environ.get("STMEM_FAULTS"):
        grids = found.grids()
        content = {
            "cameras": len(found.trial.watch.labels),
            "sensor": found.fault.sensor.name,
            "fault": found.fault.name,
            "problems": problems,
            "labels": {name: found.labels(name) for name in found.trial.watch.labels},
            "grids": len(grids),
            "unknown": bool(grids and grids[-1].is_unknown),
            "wrong": found.wrong_cells(),
            "usual": found.trial.usual,
            "told": found.told(PERIOD),
        }
        with Path(path).open("a") as out:
            out.write(json.dumps(content) + "\n")
