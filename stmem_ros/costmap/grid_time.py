"""Whether labels are of the grid's time, or time began anew for all that fill it."""

from __future__ import annotations

from stmem_ros.stamps import CLOCK_RESET


class OtherTimeError(Exception):
    """Labels are too old for the grid; the message names how much."""


class GridTime:
    """The time of a grid that several cameras fill.

    Labels are *behind* if they are more than a second older than the newest in the grid. Where a
    bag or a simulation began again, all cameras are behind; where one camera's stamps are wrong, it
    is alone. So the grid begins anew

    - once all cameras that filled it are behind, or
    - once a camera has been behind for more than a second of its own stamps, and no other labels
      came meanwhile: those that are not are silent.

    Else labels that are behind are refused, and the others go on.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The grid is empty."""
        self._newest: int | None = None  # in the grid, ns
        self._filled_by: set[str] = set()
        # Cameras that are behind: the first of such stamps, since labels came that are not.
        self._behind: dict[str, int] = {}

    def begins_anew(self, camera: str, stamp: int) -> bool:
        """Whether the grid begins anew with the labels of a camera, of ``stamp`` ns.

        Raises:
            OtherTimeError: they are behind, and others may not be.
        """
        if self._newest is None or self._newest - stamp <= CLOCK_RESET:
            self._behind.clear()
            return False
        since = self._behind[camera] = min(self._behind.get(camera, stamp), stamp)
        if self._filled_by <= self._behind.keys() or stamp - since > CLOCK_RESET:
            return True
        raise OtherTimeError(
            f"the labels are {(self._newest - stamp) / 1e9:.3f} s older than the grid; it begins "
            "anew where all cameras go back"
        )

    def follow(self, camera: str, stamp: int) -> None:
        """Take note of labels that the grid holds now."""
        self._newest = stamp if self._newest is None else max(self._newest, stamp)
        self._filled_by.add(camera)
