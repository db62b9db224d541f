"""TIFF files whose pixels OpenCV gives as they are stored, and those where it does not.

It turns an image by its orientation, multiplies colours by an alpha that stands beside them, and
takes grey that begins with white for grey that begins with black.
"""

from __future__ import annotations

from PIL import Image

_ORIENTATION, _NUMBERS, _EXTRA = 0x0112, 0x0106, 0x0152  # tags
_AS_STORED = (1, 2, 3, 5, 6)  # what numbers are: grey from black on, RGB, palette, CMYK, YCbCr
_ALPHA_BESIDE = 2


def why_not_as_stored(image: Image.Image) -> str:
    """What of an open TIFF makes OpenCV give other pixels than those stored; empty if nothing."""
    tags = image.getexif()
    extra = tags.get(_EXTRA, ())
    if (turned := tags.get(_ORIENTATION, 1)) != 1:
        return f"orientation {turned}"
    if _ALPHA_BESIDE in (extra if isinstance(extra, tuple) else (extra,)):
        return "alpha beside its colours"
    if (kind := tags.get(_NUMBERS, 1)) not in _AS_STORED:
        return f"numbers of kind {kind} (photometric interpretation)"
    return ""
