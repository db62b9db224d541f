"""Bags with something wrong in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stmem_ros.io.bags import BagReader, BagWriter


def cut_image(source: Path, out: Path, index: int) -> None:
    """A copy of a synthetic bag in which one image is cut short."""
    with BagReader(source) as bag, BagWriter(out) as copy:
        seen = 0
        for record in bag.records():
            message = bag.decode(record)
            if record.topic == "/camera/image_raw":
                if seen == index:
                    message = dataclasses.replace(message, data=message.data[:1000])
                seen += 1
            latched = record.topic == "/tf_static"
            copy.write(record.topic, record.type, message, record.time, latched)
