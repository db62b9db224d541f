"""Video files: their frames upright, each with its own time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stmem_ros.io.file_kind import what_it_is

try:
    import av
except ImportError:  # an extra of its own
    av = None  # type: ignore[assignment]

MISSING = 0.5  # s that the last frame may lie before the end that a container announces


class VideoError(ValueError):
    """A video cannot be read; the message names it."""


@dataclass(frozen=True)
class VideoFrame:
    """A frame: uint8 H x W x 3 in OpenCV's order, and seconds since the first one."""

    bgr: np.ndarray
    time: float


def _what(path: Path) -> str:
    """What a file is that is no video, for people."""
    try:
        kind = what_it_is(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not kind or kind.startswith("is a video"):
        return "is no video that can be read, or one that was cut off"
    return kind


class Video:
    """Reads a video file once, from its beginning.

    Times are those of the frames, so that rates may vary (phones); frames of a stream without times
    lie at its rate. Frames are turned as the container says.

    Attributes:
        announced: how many frames the container announces, 0 where it does not.
        problem: what is missing at the end, empty if nothing is; known when all frames were read.

    Raises:
        VideoError: the file is missing or no video, or PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        if av is None:
            raise VideoError("videos are read by PyAV, which is not installed: pip install av")
        self.problem = ""
        self._path = path
        try:
            # What stands before a colon is a protocol to FFmpeg, unless the path begins with /.
            self._container = av.open(str(path.absolute()))
            self._stream = self._container.streams.video[0]
        except FileNotFoundError as error:
            raise VideoError(f"video {path} is missing") from error
        except IndexError as error:
            raise VideoError(f"{path} holds no video stream, or was cut off before it") from error
        except (OSError, ValueError) as error:  # errors of PyAV are among these
            raise VideoError(f"{path} {_what(path)}") from error
        self.announced = self._stream.frames

    def frames(self) -> Iterator[VideoFrame]:
        """All frames in order; what cannot be read to the end ends early, with ``problem``."""
        count = skipped = 0
        first: float | None = None
        last, longest = -1.0, 0.0
        period = 1 / float(self._stream.average_rate or 25)
        broken = ""
        with self._container:
            try:
                for frame in self._container.decode(self._stream):
                    time = count * period if frame.time is None else frame.time
                    first = time if first is None else first
                    if time - first <= last:
                        skipped += 1
                        continue
                    longest = max(longest, time - first - max(last, 0.0))
                    last = time - first
                    count += 1
                    bgr = frame.to_ndarray(format="bgr24")
                    turned = np.rot90(bgr, round(frame.rotation / 90))
                    yield VideoFrame(np.ascontiguousarray(turned), last)
            except av.FFmpegError:
                broken = ", what follows is damaged"
            length, steps = self._length(), self._steps(max(last, 0.0) + longest)
        if skipped:
            self.problem = f"{self._path}: {skipped} frames whose times do not follow are left out"
        read = max(count + skipped, steps)
        if broken or read < self.announced:
            announced = f" of {self.announced} announced" if self.announced else ""
            self.problem = f"{self._path} ends early: {count}{announced} frames were read{broken}"
        elif not self.announced and length and last + period < length - MISSING:
            self.problem = (
                f"{self._path} ends early: its frames end after {max(last, 0.0):.1f} s of "
                f"{length:.1f} s announced"
            )

    def _steps(self, seconds: float) -> int:
        """How many of the announced frames so many seconds are, 0 where frames are counted.

        An AVI counts steps of its clock, and of a video of variable rate most are empty.
        """
        if self._container.format.name != "avi" or self._stream.time_base is None:
            return 0
        return round(seconds / self._stream.time_base)

    def _length(self) -> float:
        """Seconds that the container announces for the pictures, 0 where it does not."""
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        # Sound may go on for longer.
        alone = len(self._container.streams) == 1
        return (self._container.duration or 0) / 1e6 if alone else 0.0
