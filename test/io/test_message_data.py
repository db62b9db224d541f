"""Data of messages that lie somewhere else than in bytes: the seam for buffers on a GPU."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stmem_ros.io.fingerprint import fingerprint
from stmem_ros.io.images import decode_colour
from stmem_ros.io.message_data import MessageDataError, message_bytes, on_host, to_sequence


class Buffer:
    """Offers DLPack and no bytes, as a buffer on a device does."""

    def __init__(self, values: np.ndarray) -> None:
        self.tensor = torch.from_numpy(values)

    def __dlpack__(self, **options: object) -> object:
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[object, int]:
        return self.tensor.__dlpack_device__()


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (6, 8, 3), np.uint8)


def message(pixels: np.ndarray, data: object) -> SimpleNamespace:
    height, width = pixels.shape[:2]
    return SimpleNamespace(
        encoding="rgb8", height=height, width=width, step=width * 3, is_bigendian=0, data=data
    )


def test_an_offered_buffer_is_taken_without_a_copy(pixels: np.ndarray) -> None:
    taken = message_bytes(Buffer(pixels))
    assert isinstance(taken, torch.Tensor) and taken.shape == (pixels.size,)
    assert taken.data_ptr() == pixels.ctypes.data
    assert on_host(taken).ctypes.data == pixels.ctypes.data  # the host has it already


def test_numbers_of_more_than_a_byte_are_bytes_too() -> None:
    values = np.arange(5, dtype=np.float32)
    assert on_host(message_bytes(Buffer(values))).tobytes() == values.tobytes()


def test_images_whose_data_are_offered_are_decoded_in_their_place(pixels: np.ndarray) -> None:
    rgb = decode_colour(message(pixels, Buffer(pixels)))
    assert np.array_equal(rgb, pixels) and np.shares_memory(rgb, pixels)
    assert fingerprint(Buffer(pixels)) == fingerprint(pixels.tobytes())


def test_a_tensor_goes_back_into_a_message(pixels: np.ndarray) -> None:
    flat = torch.from_numpy(pixels).reshape(-1)
    assert to_sequence(flat).tobytes() == pixels.tobytes()


@pytest.mark.parametrize("data", [None, 3, object()])
def test_what_offers_nothing_is_refused_by_its_type(data: object) -> None:
    with pytest.raises(MessageDataError, match=type(data).__name__):
        message_bytes(data)
