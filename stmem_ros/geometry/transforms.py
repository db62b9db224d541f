"""Transforms between frames at a moment in time: for bags, and where tf2_ros is not installed."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from pytransform3d.rotations import quaternion_from_matrix
from pytransform3d.transformations import pq_slerp, transform_from_pq

from stmem_ros.stamps import CLOCK_RESET, nanoseconds

SHOWN = 8  # frames that a message names
CACHE_TIME = 10.0  # s; as long as tf2 keeps transforms


class TransformError(Exception):
    """A transform is not there; the message names the frames and why."""


class FramesNotConnectedError(TransformError):
    """No chain of transforms joins the two frames (yet)."""


def frame_name(frame_id: str) -> str:
    """The name of an image's frame, without the slash of ROS 1 before it.

    Raises:
        FramesNotConnectedError: the message names none.
    """
    if not (name := frame_id.lstrip("/")):
        raise FramesNotConnectedError(
            "images name no frame (header.frame_id is empty): the driver must name the camera's "
            "optical frame"
        )
    return name


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """Rotation matrix 3 x 3 to a unit quaternion x, y, z, w (w >= 0)."""
    w, x, y, z = (float(v) for v in quaternion_from_matrix(rotation))
    sign = -1.0 if w < 0 else 1.0
    return sign * x, sign * y, sign * z, sign * w


class TransformSource(Protocol):
    """Tells where frames are at a time."""

    def lookup(self, target: str, source: str, stamp: int) -> np.ndarray:
        """The 4 x 4 matrix that takes points of ``source`` to ``target`` at ``stamp`` ns.

        It does not wait for transforms that are late.

        Raises:
            FramesNotConnectedError: the frames are not joined by known transforms.
            TransformError: they are, but not at that time.
        """

    def time_went_back(self) -> None:
        """Stamps begin anew: a bag is played again, or a simulation was reset."""


@dataclass
class _Edge:
    """The pose of a frame in its parent over time: stamps (ns) and x y z qw qx qy qz."""

    parent: str
    static: bool
    keep: float
    history: deque[tuple[int, np.ndarray]] = field(default_factory=deque)

    def add(self, stamp: int, pose: np.ndarray) -> None:
        if self.static:
            self.history.clear()
        if self.history and self.history[-1][0] - stamp > CLOCK_RESET:  # time began anew
            self.history.clear()
        place = bisect_left(self.history, stamp, key=lambda known: known[0])
        if place < len(self.history) and self.history[place][0] == stamp:
            self.history[place] = (stamp, pose)
        else:
            self.history.insert(place, (stamp, pose))
        stamp = self.history[-1][0]
        while stamp - self.history[0][0] > self.keep * 1e9:
            self.history.popleft()

    def at(self, stamp: int) -> np.ndarray | None:
        """The pose at a time, interpolated; None outside the known time."""
        if self.static:
            return self.history[-1][1]
        if not self.history[0][0] <= stamp <= self.history[-1][0]:
            return None
        after = next(i for i, (known, _) in enumerate(self.history) if known >= stamp)
        next_stamp, next_pose = self.history[after]
        if next_stamp == stamp:
            return next_pose
        last_stamp, last_pose = self.history[after - 1]
        return pq_slerp(last_pose, next_pose, (stamp - last_stamp) / (next_stamp - last_stamp))


class TransformBuffer:
    """Collects transforms: a :class:`TransformSource` that threads may share.

    ``keep``: how long before the newest transform of a frame older ones are kept, s.
    """

    def __init__(self, keep: float = CACHE_TIME) -> None:
        self._keep = keep
        self._edges: dict[str, _Edge] = {}
        self._refused: set[str] = set()  # what was left out, as messages say it
        self._lock = threading.Lock()

    def add(self, parent: str, child: str, stamp: int, pose: np.ndarray, static: bool) -> None:
        """Add a pose x y z qw qx qy qz of ``child`` in ``parent`` at ``stamp`` ns.

        One that is not finite, or whose rotation is none, is left out; where it is missed, it is
        named.
        """
        with self._lock:
            if not np.isfinite(pose).all() or not np.linalg.norm(pose[3:]) > 0.5:
                if len(self._refused) < SHOWN:
                    self._refused.add(f"{parent} -> {child}")
                return
            edge = self._edges.get(child)
            if edge is None or edge.parent != parent or edge.static != static:
                edge = self._edges[child] = _Edge(parent, static, self._keep)
            edge.add(stamp, pose)

    def add_message(self, message: Any, static: bool) -> None:
        """Add the transforms of a tf2_msgs/TFMessage, of ROS or of a bag."""
        for t in message.transforms:
            p, q = t.transform.translation, t.transform.rotation
            parent, child = t.header.frame_id.lstrip("/"), t.child_frame_id.lstrip("/")
            pose = np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z])
            self.add(parent, child, nanoseconds(t.header.stamp), pose, static)

    def lookup(self, target: str, source: str, stamp: int) -> np.ndarray:
        """See :meth:`TransformSource.lookup`."""
        with self._lock:
            matrix = self._find(target, source, stamp)
            if matrix is None:
                raise TransformError(
                    f"no transform from {source!r} to {target!r} at {stamp / 1e9:.3f} s: "
                    f"{self._known_times(target, source)}"
                )
            return matrix

    def time_went_back(self) -> None:
        """Nothing to do: a transform that goes back in time replaces what was later."""

    def _chain(self, frame: str) -> list[str]:
        """A frame and its ancestors, upwards."""
        chain = [frame]
        while chain[-1] in self._edges and len(chain) <= len(self._edges):
            chain.append(self._edges[chain[-1]].parent)
        return chain

    def _ancestor(self, target: str, source: str) -> str:
        """The nearest frame that both descend from."""
        target_chain = self._chain(target)
        for frame in self._chain(source):
            if frame in target_chain:
                return frame
        names = sorted(
            {name for child, edge in self._edges.items() for name in (child, edge.parent)}
        )
        known = ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
        refused = "".join(
            f"; {name} cannot be used: it is not finite, or its quaternion is zero"
            for name in sorted(self._refused)
        )
        raise FramesNotConnectedError(
            f"no transforms connect {source!r} to {target!r}; known frames are "
            f"{known or 'none'}{refused}"
        )

    def _find(self, target: str, source: str, stamp: int) -> np.ndarray | None:
        """The matrix, None where the time is not known."""
        ancestor = self._ancestor(target, source)
        ancestor_from_source = self._pose_in(ancestor, source, stamp)
        ancestor_from_target = self._pose_in(ancestor, target, stamp)
        if ancestor_from_source is None or ancestor_from_target is None:
            return None
        return np.linalg.inv(ancestor_from_target) @ ancestor_from_source

    def _pose_in(self, ancestor: str, frame: str, stamp: int) -> np.ndarray | None:
        """4 x 4, a frame in one of its ancestors; None outside the known time."""
        pose = np.eye(4)
        while frame != ancestor:
            edge = self._edges[frame]
            step = edge.at(stamp)
            if step is None:
                return None
            pose = transform_from_pq(step) @ pose
            frame = edge.parent
        return pose

    def _known_times(self, target: str, source: str) -> str:
        texts = []
        for frame in (*self._chain(target), *self._chain(source)):
            edge = self._edges.get(frame)
            if edge is not None and not edge.static:
                first, last = edge.history[0][0] / 1e9, edge.history[-1][0] / 1e9
                texts.append(f"{edge.parent} -> {frame} is known from {first:.3f} to {last:.3f} s")
        return "; ".join(texts)
