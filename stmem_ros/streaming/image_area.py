"""What of an image the network sees, at which size, and its labels as those of the image."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stmem_ros.classes import UNLABELLED
from stmem_ros.io.images import ImageError, read_label

SMALLEST = 32  # pixels per side: one pixel of the coarsest feature map
MASK_FORM = (
    '"", a grey PNG, black where nothing is labelled, or a polygon "[[x, y], ...]" in pixels'
)
WIDEST_ENLARGED = 4 / 3  # width by height of the largest image that smaller ones are enlarged to
LEAST_ENLARGEMENT = 1.2  # below it, resampling blurs more than size helps
REGION_FORM = f'"" or "[x, y, width, height]" in pixels, at least {SMALLEST} x {SMALLEST}'


@dataclass(frozen=True, eq=False)
class ImageArea:
    """What of a camera's images is labelled: a region, but for what a mask covers.

    A mask is for what moves along with the camera: a hood, a gripper, a mirror. The network sees
    one colour there, so that nothing it covers has a part in any label, in what is remembered of
    earlier images, or in how strange the image is.

    Attributes:
        region: x, y, width, height of what the network sees, pixels; None: all.
        mask: H x W bool, where nothing is labelled; None: nowhere.
        polygon: corners N x 2 of such a mask, x y in pixels, of an image of any size.
    """

    region: tuple[int, int, int, int] | None = None
    mask: np.ndarray | None = None
    polygon: np.ndarray | None = None

    def masked(self, height: int, width: int) -> np.ndarray | None:
        """Where the mask lies in an image, H x W bool; None where there is none.

        Raises:
            ValueError: it is a mask of another image size, or lies outside.
        """
        if self.mask is not None and self.mask.shape != (height, width):
            rows, columns = self.mask.shape
            raise ValueError(
                f"the mask has {columns} x {rows} pixels but the image {width} x {height}: "
                "they must be of one size"
            )
        if self.polygon is None:
            return self.mask
        inside = np.zeros((height, width), np.uint8)
        cv2.fillPoly(inside, [np.rint(self.polygon).astype(np.int32)], 1)
        if not inside.any():
            raise ValueError(
                f"the mask's polygon lies outside the image of {width} x {height} pixels"
            )
        return inside.view(bool)

    def check(self, rgb: np.ndarray) -> None:
        """Refuse an image that the area does not fit, or that is no RGB image.

        Raises:
            ValueError: it is; the message names type, shape or sizes.
        """
        check_image(rgb)
        height, width = rgb.shape[:2]
        x, y, columns, rows = self._rectangle((height, width))
        if x + columns > width or y + rows > height:
            raise ValueError(
                f"the region {[x, y, columns, rows]} (x, y, width, height) reaches out of the "
                f"image of {width} x {height} pixels"
            )
        masked = self.masked(height, width)
        if masked is not None and masked[y : y + rows, x : x + columns].all():
            raise ValueError(
                f"the mask covers all that is to be labelled of {width} x {height} pixels"
            )

    def network_size(self, size: tuple[int, int], height: int | None) -> tuple[int, int]:
        """Height and width that the network sees of an image of ``size``.

        ``height``: that images, as a whole, are scaled to; None: they are not scaled. Smaller ones
        become no larger than an image of 4:3 of that height, and stay as they are where that would
        be little.
        """
        _, _, columns, rows = self._rectangle(size)
        if height is None:
            return rows, columns
        scale = height / size[0]
        if scale > 1:
            scale = min(scale, math.sqrt(height**2 * WIDEST_ENLARGED / (rows * columns)))
            if scale < LEAST_ENLARGEMENT:
                return rows, columns
        return max(SMALLEST, round(rows * scale)), max(SMALLEST, round(columns * scale))

    def seen(self, rgb: np.ndarray, colour: tuple[float, ...]) -> np.ndarray:
        """What the network sees of an image, before it is scaled; in ``colour`` under the mask."""
        masked = self.masked(*rgb.shape[:2])
        if masked is not None:
            rgb = rgb.copy()
            rgb[masked] = np.rint(colour)
        x, y, columns, rows = self._rectangle(rgb.shape[:2])
        return rgb[y : y + rows, x : x + columns]

    def image_labels(
        self, label: np.ndarray, confidence: np.ndarray, size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and confidences of the network's size as those of an image of ``size``.

        Where the network saw nothing there is no label (255), and the confidence is 0.
        """
        return self.spread(label, size, UNLABELLED), self.spread(confidence, size, 0)

    def spread(self, values: np.ndarray, size: tuple[int, int], outside: int) -> np.ndarray:
        """Values uint8 of the network's size as those of an image of ``size``, else ``outside``."""
        x, y, columns, rows = self._rectangle(size)
        if values.shape != (rows, columns):
            # Of the many of an enlarged image that in the middle: the first lies half a pixel off.
            is_enlarged = values.shape[0] > rows
            way = cv2.INTER_NEAREST_EXACT if is_enlarged else cv2.INTER_NEAREST
            values = cv2.resize(values, (columns, rows), interpolation=way)
        if self.region is not None:
            inside, values = values, np.full(size, outside, np.uint8)
            values[y : y + rows, x : x + columns] = inside
        masked = self.masked(*size)
        if masked is not None:
            values = np.where(masked, np.uint8(outside), values)
        return values

    def _rectangle(self, size: tuple[int, ...]) -> tuple[int, int, int, int]:
        """x, y, width and height of the region in an image of a height and width."""
        return (0, 0, size[1], size[0]) if self.region is None else self.region


WHOLE = ImageArea()


def read_area(mask: str, region: str) -> ImageArea:
    """The area that two texts describe, of the forms ``MASK_FORM`` and ``REGION_FORM``.

    Raises:
        ValueError: one is of no such form, or the mask's file cannot be used; one line says why.
    """
    if not mask and not region:
        return WHOLE
    area = read_region(region)
    if mask.lstrip().startswith("["):
        return ImageArea(area, polygon=read_polygon(mask))
    return ImageArea(area, mask=_read_mask(Path(mask)) if mask else None)


def is_mask_file(mask: str) -> bool:
    """Whether the text of a mask names a file."""
    return bool(mask) and not mask.lstrip().startswith("[")


def read_polygon(text: str) -> np.ndarray:
    """The corners N x 2 of a mask, pixels.

    Raises:
        ValueError: the text is of another form.
    """
    corners = _numbers(text)
    if corners is None or corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ValueError(f"mask {text!r}; allowed: {MASK_FORM}")
    return corners


def read_region(text: str) -> tuple[int, int, int, int] | None:
    """x, y, width and height of a region, pixels; None for an empty text.

    Raises:
        ValueError: the text is of another form.
    """
    if not text:
        return None
    numbers = _numbers(text)
    if (
        numbers is None
        or numbers.shape != (4,)
        or (numbers != np.rint(numbers)).any()
        or numbers[:2].min() < 0
        or numbers[2:].min() < SMALLEST
    ):
        raise ValueError(f"region {text!r}; allowed: {REGION_FORM}")
    x, y, width, height = (int(n) for n in numbers)
    return x, y, width, height


def _numbers(text: str) -> np.ndarray | None:
    """Finite numbers of JSON lists, at most those of a large image; None: it is something else."""
    try:
        numbers = np.array(json.loads(text), float)
    except (ValueError, TypeError, RecursionError):
        return None
    return numbers if (np.abs(numbers) <= 1e5).all() else None


def _read_mask(path: Path) -> np.ndarray:
    """Where a mask's file is black, H x W bool.

    Raises:
        ValueError: it is missing, no grey image, of more than two values, or black all over.
    """
    try:
        values = read_label(path)
    except ImageError as error:
        raise ValueError(f"mask {error}") from error
    others = np.setdiff1d(values, [0])
    if others.size > 1:
        raise ValueError(
            f"mask {path} holds the values {', '.join(map(str, others[:3]))}; it must be black "
            "(0) where nothing is labelled, and of one other value elsewhere"
        )
    if not others.size:
        raise ValueError(f"mask {path} is black all over: nothing would be labelled")
    return values == 0


def check_image(rgb: np.ndarray) -> None:
    """Refuse what is no RGB image the network can take.

    Raises:
        ValueError: wrong type, shape or size; the message names it.
    """
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8:
        kind = rgb.dtype if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise ValueError(f"image is of {kind}; it must be a numpy array of uint8")
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"image has the shape {rgb.shape}; it must be H x W x 3 (RGB)")
    if min(rgb.shape[:2]) < SMALLEST:
        raise ValueError(
            f"image is {rgb.shape[1]} x {rgb.shape[0]} pixels; it must be at least "
            f"{SMALLEST} x {SMALLEST}"
        )
