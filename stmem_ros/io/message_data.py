"""Data of messages: bytes of the host, or a buffer that lies elsewhere, as on a GPU.

The one place that knows how messages offer their data. Those of rclpy and of bags hold bytes; what
offers DLPack or the CUDA array interface, as ``rosidl::Buffer`` of ROS 2 Lyrical is to, is taken
where it lies, without a copy.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class MessageDataError(TypeError):
    """Data of a message are offered in no way that is known."""


def message_bytes(data: object) -> np.ndarray | Tensor:
    """Data of a message as uint8 of one axis, where they lie and without a copy.

    An array where they are bytes of the host, else a tensor on the device that has them.

    Raises:
        MessageDataError: they are neither bytes nor an object that offers DLPack or a CUDA array.
    """
    try:
        return np.frombuffer(data, np.uint8)  # type: ignore[call-overload]
    except TypeError:
        pass  # no bytes of the host
    import torch

    if hasattr(data, "__dlpack__"):
        tensor = torch.from_dlpack(data)
    elif hasattr(data, "__cuda_array_interface__"):
        tensor = torch.as_tensor(data, device="cuda")
    else:
        raise MessageDataError(
            f"data of a message are of type {type(data).__name__}; they must be bytes, or offer "
            "__dlpack__ or __cuda_array_interface__"
        )
    return tensor.reshape(-1).view(torch.uint8)


def on_host(values: np.ndarray | Tensor) -> np.ndarray:
    """Values as an array; copied only where another device has them."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def to_sequence(values: np.ndarray | Tensor) -> array:
    """Values of one axis as messages of rclpy take them as they are; an array is converted value
    by value."""
    values = on_host(values)
    sequence = array(values.dtype.char)
    sequence.frombytes(values.view(np.uint8).data)
    return sequence
