"""Write the pictures of README.md from what `make demo` left in a folder.

`make pictures` runs it: an animated WebP of some seconds of `overlay.mp4`, and `costmap.png`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import av
from PIL import Image

PICTURES = Path(__file__).parent / "pictures"
SECONDS = 6.0
PERIOD = 0.2  # s between the frames that are kept
WIDTH = 640  # pixels


def write_pictures(demo: Path) -> None:
    """Make both pictures from a demo's folder."""
    PICTURES.mkdir(exist_ok=True)
    shutil.copyfile(demo / "costmap.png", PICTURES / "costmap.png")
    frames = []
    with av.open(str(demo / "overlay.mp4")) as video:
        for frame in video.decode(video=0):
            if frame.time >= SECONDS:
                break
            if frame.time >= len(frames) * PERIOD:
                image: Image.Image = frame.to_image()
                frames.append(image.resize((WIDTH, WIDTH * image.height // image.width)))
    first, *others = frames
    first.save(
        PICTURES / "overlay.webp",
        save_all=True,
        append_images=others,
        duration=int(1000 * PERIOD),
        loop=0,
        quality=60,
    )


if __name__ == "__main__":
    write_pictures(Path(sys.argv[1]))
