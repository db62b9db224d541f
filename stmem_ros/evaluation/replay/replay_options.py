"""What a replay is told."""

from __future__ import annotations

from dataclasses import dataclass

from stmem_ros.evaluation.replay.bag_moments import TopicChoice
from stmem_ros.evaluation.replay.latency import LatencyModel


@dataclass(frozen=True)
class ReplayOptions:
    """What is replayed, and what the vehicle would have seen of it.

    Attributes:
        topic, info_topic, label_topic, points_topic: of the camera, its calibration, reference
            labels, lidar or depth to compare with; None: found by type and name.
        start: seconds of the bag that are skipped.
        duration: seconds of the bag that are replayed, None: to its end.
        drop: share of the images that are lost on the way, chosen by ``seed``.
        latency: the machine that is simulated; None: every image is labelled.
        rate: speed at which images reach that machine, 1 is real time.
        seed: of what is left to chance.
        rectified: whether the images are; None: told by the last part of the topic's name.
        depth: images come with depth images, which place their labels; others are not labelled.
        transport: ``raw`` or ``compressed``, of images that the bag has in both; None: raw.

    Raises:
        ValueError: a value is not allowed; the message names it.
    """

    topic: str | None = None
    info_topic: str | None = None
    label_topic: str | None = None
    points_topic: str | None = None
    start: float = 0.0
    duration: float | None = None
    drop: float = 0.0
    latency: LatencyModel | None = None
    rate: float = 1.0
    seed: int = 1
    rectified: bool | None = None
    depth: bool = False
    transport: str | None = None

    def __post_init__(self) -> None:
        for name, value, allowed, fits in (
            ("start", self.start, "0 or more seconds", self.start >= 0),
            ("duration", self.duration, "positive, s", self.duration is None or self.duration > 0),
            ("drop", self.drop, "0 to below 1", 0 <= self.drop < 1),
            ("rate", self.rate, "positive", self.rate > 0),
            ("seed", self.seed, "0 or more", self.seed >= 0),
        ):
            if not fits:
                raise ValueError(f"{name} is {value}; it must be {allowed}")

    @property
    def topics(self) -> TopicChoice:
        """The topics that are asked for."""
        return TopicChoice(
            image=self.topic,
            info=self.info_topic,
            label=self.label_topic,
            points=self.points_topic,
            depth=self.depth,
            transport=self.transport,
        )
