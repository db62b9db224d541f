"""The node's health: what was seen of each part, judged against limits, without ROS.

Durations are differences of times ``now``, s, that whoever tells of an event reads from one clock
which never goes back. A status is of what happened since the one before it, so that it clears when
good data come again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

STANDING = 0.01  # of the time that passes; stamps that go on more slowly stand still
FEW_INFOS = 20  # camera_info that are too few to tell a loss of images


class Level(IntEnum):
    """How bad it is; the values of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class HealthLimits:
    """Above the first of each pair a status is WARN, above the second ERROR; s where not said.

    Attributes:
        age_warn, age_error: since a camera's newest image came, or its labels reached the grid.
        latency_warn, latency_error: from the stamp of an image until its labels are published.
        still_warn, still_error: in which images have the same pixels, or the same stamp.
        future_warn, future_error: by which a stamp lies ahead of the node's clock.
        strange_warn, strange_error: how unlike all that the model knows images are; no unit.
    """

    age_warn: float = 1.0
    age_error: float = 3.0
    latency_warn: float = 0.5
    latency_error: float = 2.0
    still_warn: float = 2.0
    still_error: float = 10.0
    future_warn: float = 0.2
    future_error: float = 1.0
    strange_warn: float = 1.3
    strange_error: float = 2.0


@dataclass(frozen=True)
class Status:
    """What is told of a part: a level, a text for people (OK if all is well), and figures."""

    level: Level
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


class Findings:
    """What is wrong with a part, of which its status is made."""

    def __init__(self) -> None:
        self._findings: list[tuple[Level, str]] = []

    def add(self, level: Level, text: str) -> None:
        """Take note of something; nothing if it is OK."""
        if level is not Level.OK:
            self._findings.append((level, text))

    def status(self, values: Mapping[str, object]) -> Status:
        """The worst level, and all texts, the worst first."""
        found = sorted(self._findings, key=lambda finding: -finding[0])
        level = found[0][0] if found else Level.OK
        return Status(level, "; ".join(text for _, text in found) or "OK", values)


def judge(value: float, warn: float, error: float) -> Level:
    """The level of a value that should be small."""
    if value > error:
        return Level.ERROR
    return Level.WARN if value > warn else Level.OK


class CameraHealth:
    """What came from a camera since activation, and what became of it.

    One thread tells of arrivals and asks for statuses; another one tells of labels.

    Attributes:
        received, labelled, late, invalid, left_out: images since activation.
        lost: that images are lost on their way; empty if they are not.
    """

    def __init__(self, limits: HealthLimits, now: float, compares_infos: bool = True) -> None:
        """``compares_infos``: a camera_info comes with each image, unless some are lost."""
        self.received = self.labelled = self.late = self.invalid = self.left_out = 0
        self._limits = limits
        self._compares_infos = compares_infos
        self._began = now
        self._infos = 0
        self._loss_judged = 0, 0  # images and camera_info when all was well last
        self._loss_reported = 0, 0  # and at the last status
        self.lost = ""
        self._last_image: float | None = None
        self._oldest_waiting: float | None = None  # when it came
        self._pixels: int | None = None
        self._stamp = 0.0  # from which on the stamps stand still, since when
        self._pixels_since = self._stamp_since = now
        self._latency = 0.0  # the worst since the last status, as the next one
        self._ahead = 0.0
        self._strangeness: float | None = None
        self._last_error = self._last_late = ""
        self._reported = now, 0, 0, 0, 0  # time, received, labelled, late, invalid; last status

    def image_came(self, now: float, clock: float, stamp: float, pixels: int) -> None:
        """An image came; ``clock``: the node's, ``stamp``: its own, s; ``pixels``: fingerprint."""
        self.received += 1
        if self._last_image is None or pixels != self._pixels:
            self._pixels_since = now
        standing = STANDING * (now - self._stamp_since)
        if self._last_image is None or abs(stamp - self._stamp) > standing:
            self._stamp, self._stamp_since = stamp, now
        self._pixels, self._last_image = pixels, now
        self._ahead = max(self._ahead, stamp - clock)
        if self._oldest_waiting is None:
            self._oldest_waiting = now

    def info_came(self) -> None:
        """A camera_info came."""
        self._infos += 1

    def image_labelled(self, latency: float, strangeness: float | None) -> None:
        """Labels were published so many seconds after the stamp of their image.

        ``strangeness``: of the image, to the model; None if it cannot tell.
        """
        self.labelled += 1
        if strangeness is not None:
            self._strangeness = min(strangeness, self._strangeness or strangeness)
        self._latency = max(self._latency, latency)
        self._oldest_waiting = None

    def image_late(self, reason: str) -> None:
        """An image came after a newer one, or twice."""
        self.late += 1
        self._last_late = reason
        self._oldest_waiting = None

    def image_left_out(self) -> None:
        """An image was not to be labelled: its camera is paused, or came before its time."""
        self.left_out += 1
        self._oldest_waiting = None

    def image_refused(self, reason: str) -> None:
        """An image could not be used."""
        self.invalid += 1
        self._last_error = reason
        self._oldest_waiting = None

    def status(self, now: float, topic: str, values: Mapping[str, object]) -> Status:
        """The camera's status; ``topic``: what it sends, ``values``: to be told besides."""
        limits = self._limits
        since, *counts = self._reported
        self._reported = now, self.received, self.labelled, self.late, self.invalid
        received, labelled, late, invalid = (
            count - before for count, before in zip(self._reported[1:], counts, strict=True)
        )
        latency, self._latency = self._latency, 0.0
        ahead, self._ahead = self._ahead, 0.0
        strangeness, self._strangeness = self._strangeness, None
        if (waiting := self._oldest_waiting) is not None:
            latency = max(latency, now - waiting)
        age = now - (self._began if self._last_image is None else self._last_image)

        findings = Findings()
        self._add_age(findings, age, topic)
        if invalid:
            findings.add(
                Level.WARN if labelled else Level.ERROR,
                f"{invalid} images not used, last: {self._last_error}",
            )
        if late:
            findings.add(
                Level.WARN if labelled else Level.ERROR,
                f"{late} images came late or twice, last: {self._last_late}",
            )
        findings.add(
            judge(latency, limits.latency_warn, limits.latency_error),
            f"labels come {latency:.1f} s after the stamps of their images",
        )
        findings.add(
            judge(ahead, limits.future_warn, limits.future_error),
            f"stamps lie {ahead:.1f} s ahead of the node's clock",
        )
        findings.add(
            judge(strangeness or 0.0, limits.strange_warn, limits.strange_error),
            f"images are unlike all that the model knows (strangeness {strangeness or 0.0:.1f}): "
            "labels are not to be relied on",
        )
        self._add_still(findings)
        self._judge_loss(topic)
        findings.add(Level.WARN if self.lost else Level.OK, self.lost)
        seconds = now - since
        figures = {
            "received": self.received,
            "labelled": self.labelled,
            "late": self.late,
            "invalid": self.invalid,
            "left_out": self.left_out,
            "image_rate_hz": f"{received / seconds if seconds > 0 else 0.0:.1f}",
            "label_rate_hz": f"{labelled / seconds if seconds > 0 else 0.0:.1f}",
            "image_age_s": "never" if self._last_image is None else f"{age:.2f}",
            "latency_s": f"{latency:.3f}",
            "strangeness": "unknown" if strangeness is None else f"{strangeness:.2f}",
        }
        return findings.status(figures | dict(values))

    def _add_age(self, findings: Findings, age: float, topic: str) -> None:
        """That no image comes, or none ever came."""
        level = judge(age, self._limits.age_warn, self._limits.age_error)
        if self._last_image is None:
            findings.add(max(level, Level.WARN), f"no image yet on {topic}")
        else:
            findings.add(level, f"no image on {topic} for {age:.1f} s")

    def _add_still(self, findings: Findings) -> None:
        """Images that come, and are always the same."""
        newest, limits = self._last_image, self._limits
        if newest is None:
            return
        for since, what in ((self._pixels_since, "pixels"), (self._stamp_since, "stamp")):
            findings.add(
                judge(newest - since, limits.still_warn, limits.still_error),
                f"images have had the same {what} for {newest - since:.1f} s",
            )

    def _judge_loss(self, topic: str) -> None:
        """Compare images and camera_info since the last status, and since they were judged last."""
        reported, self._loss_reported = self._loss_reported, (self.received, self._infos)
        if not self._compares_infos:
            return
        if 2 * (self.received - reported[0]) >= self._infos - reported[1]:
            self._loss_judged = self._loss_reported
            self.lost = ""
            return
        received = self.received - self._loss_judged[0]
        infos = self._infos - self._loss_judged[1]
        if infos >= FEW_INFOS and 2 * received < infos:
            self.lost = (
                f"{received} images but {infos} camera_info arrived on {topic}: images are lost on "
                "the way; use the shared-memory profile (docs/middleware.md) or image_reliability: "
                "reliable"
            )


class GridHealth:
    """What reached the grid since activation.

    Attributes:
        updates: labels fused since activation.
        failures: labels that could not be fused since activation.
    """

    def __init__(self, limits: HealthLimits, cameras: tuple[str, ...], now: float) -> None:
        self.updates = self.failures = 0
        self._limits = limits
        self._updated: float | None = None
        self._reached = dict.fromkeys(cameras, now)  # when labels of a camera last did
        self._problems = dict.fromkeys(cameras, "no labels yet")  # of the newest labels
        self._failed: dict[str, list[str]] = {camera: [] for camera in cameras}  # since told

    def updated(self, camera: str, now: float, problem: str = "") -> None:
        """A camera's labels reached the grid; ``problem``: what it lacks all the same."""
        self.updates += 1
        self._updated = self._reached[camera] = now
        self._problems[camera] = problem

    def paused(self, camera: str, now: float) -> None:
        """A camera is paused: no labels are expected of it."""
        self._reached[camera] = now
        self._problems[camera] = ""

    def not_updated(self, camera: str, problem: str) -> None:
        """A camera's labels did not reach the grid."""
        self.failures += 1
        self._problems[camera] = problem
        self._failed[camera].append(problem)

    def status(self, now: float, values: Mapping[str, object]) -> Status:
        """The grid's status; ``values``: to be told besides."""
        limits, findings = self._limits, Findings()
        for camera, problem in self._problems.items():
            failed, self._failed[camera] = self._failed[camera], []
            if failed and not problem:
                problem = f"{len(failed)} labels did not reach the grid, last: {failed[-1]}"
            age = now - self._reached[camera]
            level = judge(age, limits.age_warn, limits.age_error)
            text = problem or f"no labels reached the grid for {age:.1f} s"
            findings.add(
                max(level, Level.WARN if problem else Level.OK),
                f"{camera}: {text}" if camera else text,
            )
        age_text = "never" if self._updated is None else f"{now - self._updated:.2f}"
        figures = {"updates": self.updates, "failures": self.failures, "age_s": age_text}
        return findings.status(figures | dict(values))


class ClockHealth:
    """Whether a simulation's clock moves.

    All other statuses count its seconds: while it stands still they find nothing.
    """

    def __init__(self, limits: HealthLimits) -> None:
        self._limits = limits
        self._time: float | None = None
        self._moved = 0.0

    def status(self, machine_time: float, time: float) -> Status:
        """The clock's status; the simulation's ``time``, and that of the machine, s."""
        if time != self._time:
            self._time, self._moved = time, machine_time
        stood = machine_time - self._moved
        findings = Findings()
        findings.add(
            judge(stood, self._limits.age_warn, self._limits.age_error),
            f"use_sim_time is true, and /clock has not moved for {stood:.1f} s",
        )
        return findings.status({"time_s": f"{time:.2f}"})
