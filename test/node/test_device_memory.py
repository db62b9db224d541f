"""What the node tells of a GPU's memory."""

import pytest
import torch

from stmem_ros.node.device_memory import PERIOD, DeviceMemory


def test_a_gpu_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, seconds = [], [0.0]
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: asked.append(device) or 7)
    memory = DeviceMemory(torch.device("cuda:1"), now=lambda: seconds[0])
    assert [memory() for _ in range(3)] == [7, 7, 7]
    assert asked == [torch.device("cuda:1")]
    seconds[0] = PERIOD
    assert memory() == 7 and len(asked) == 2


def test_a_cpu_holds_none() -> None:
    assert DeviceMemory(torch.device("cpu"))() == 0
