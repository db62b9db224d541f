"""What comes in from one camera: which of its images are labelled, and which wait for labels."""

from __future__ import annotations

from collections import deque

from stmem_ros.costmap.rate_limiter import RateLimiter
from stmem_ros.frames import CameraFrame, LabelledFrame, Refusal, RefusedFrame, late_text
from stmem_ros.streaming.segmenter import Restart, Segmentation, StreamingSegmenter


class CameraIntake:
    """The images of one camera, in order.

    Args:
        stream: labels them; None: they come labelled.
        rate: at most so many are labelled in a second, by their stamps; 0: all.

    Attributes:
        is_paused: none is labelled until it is not.
    """

    def __init__(self, stream: StreamingSegmenter | None, rate: float) -> None:
        self.is_paused = False
        self._stream = stream
        self._rate_text = f"it comes sooner after the one before than {rate:g} Hz allow"
        self._rate = RateLimiter(rate) if rate else None
        self._epoch = 0  # of the frames in the stream
        self._newest: int | None = None  # stamp of the newest of them, ns
        self._waiting: deque[CameraFrame] = deque()  # for labels of a centred model

    def unwanted(self, stamp: int, epoch: int) -> str:
        """Why an image of a stamp in ns is not to be labelled, whatever it shows; empty if it is.

        A late one is for ``refusal`` to tell.
        """
        if self.is_paused:
            return "its camera is paused"
        is_next = epoch == self._epoch and self._newest is not None and stamp > self._newest
        if self._rate is not None and is_next and not self._rate.is_due(stamp):
            return self._rate_text
        return ""

    def refusal(self, frame: CameraFrame, epoch: int) -> RefusedFrame | None:
        """Why a frame gets no labels; None where it does, and is the camera's newest.

        With the first frame of another epoch the stream begins anew.
        """
        assert self._stream is not None
        if text := self.unwanted(frame.stamp, epoch):
            return RefusedFrame(frame, Refusal.UNWANTED, text)
        try:
            self._stream.check(frame.rgb, frame.stamp / 1e9)
        except ValueError as error:
            return RefusedFrame(frame, Refusal.INVALID, str(error))
        if self._epoch != epoch:
            self._stream.reset()
            self._epoch, self._newest = epoch, None
            self._waiting.clear()
            if self._rate is not None:
                self._rate.reset()
        if self._newest is not None and (text := late_text(frame.stamp, self._newest)):
            return RefusedFrame(frame, Refusal.LATE, text)
        self._newest = frame.stamp
        if self._rate is not None:
            self._rate.accepts(frame.stamp)
        return None

    def target(self, frame: CameraFrame, segmentation: Segmentation) -> LabelledFrame | None:
        """The frame that labels belong to which came with ``frame``; None if it has them already.

        A centred model labels an earlier frame, and its first one twice.
        """
        self._waiting.append(frame)
        if segmentation.stamp != self._waiting[0].stamp / 1e9:
            return None
        return LabelledFrame(
            frame=self._waiting.popleft(),
            label=segmentation.label,
            confidence=segmentation.confidence,
            window=segmentation.window,
            timings=segmentation.timings,
            restart=segmentation.restart,
            epoch=self._epoch,
            memory_share=segmentation.memory_share,
            strangeness=segmentation.strangeness,
        )

    def cut_off(self, restart: Restart | None) -> list[RefusedFrame]:
        """Frames that wait for labels of a stream that begins anew."""
        if restart is None:
            return []
        return self._give_up(f"the stream began anew before its label came: {restart.text}")

    def finish(self) -> list[RefusedFrame]:
        """The stream ends: the frames that a centred model has not labelled."""
        return self._give_up("a centred model needs frames that follow; none did")

    def _give_up(self, text: str) -> list[RefusedFrame]:
        refused = [RefusedFrame(frame, Refusal.CUT_OFF, text) for frame in self._waiting]
        self._waiting.clear()
        return refused
