"""What is done and said about graphs, whatever records them; test_execution.py tries a GPU."""

import threading
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from stmem_ros.streaming.kernels import cuda_graph
from stmem_ros.streaming.kernels.cuda_graph import KEPT, CudaGraphs


class Recorder:
    """In place of a recording: counts what is recorded and replayed, and may fail."""

    def __init__(self, fails: bool = False) -> None:
        self.recorded: list[torch.Size] = []
        self.replayed = 0
        self.fails = fails

    def __call__(self, function, arguments) -> "Recorder":
        self.recorded.append(arguments[0].shape)
        if self.fails:
            raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")
        self._function = function
        return self

    def replay(self, arguments) -> Tensor:
        self.replayed += 1
        return self._function(*arguments)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(cuda_graph, "_Recording", recorder)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    return recorder


def double(x: Tensor) -> Tensor:
    return 2 * x


def test_each_size_is_recorded_once_and_the_oldest_is_given_up(recorder: Recorder) -> None:
    graphs = CudaGraphs()
    assert graphs.problem == ""
    for _ in range(2):
        for size in range(1, KEPT + 1):
            assert graphs(double, torch.ones(size)).sum() == 2 * size
    assert len(recorder.recorded) == KEPT and recorder.replayed == 2 * KEPT
    graphs(double, torch.ones(KEPT + 1))
    graphs(double, torch.ones(2))
    assert len(recorder.recorded) == KEPT + 1
    graphs(double, torch.ones(1))
    assert len(recorder.recorded) == KEPT + 2


def test_where_recording_fails_functions_run_as_they_are_and_one_warning_says_why(
    recorder: Recorder,
) -> None:
    recorder.fails = True
    graphs = CudaGraphs()
    with pytest.warns(UserWarning, match=r"out of memory.*cuda_graphs") as told:
        for size in (3, 4, 3):
            assert graphs(double, torch.ones(size)).sum() == 2 * size
    assert len(told) == 1 and len(recorder.recorded) == 1
    assert graphs.problem == str(told[0].message)


def test_constants_are_collected_in_the_thread_that_records() -> None:
    other: list[Tensor] = []
    with cuda_graph.collect_recorded() as constants:
        kept = cuda_graph.recorded(torch.ones(1))
        thread = threading.Thread(target=lambda: other.append(cuda_graph.recorded(torch.ones(2))))
        thread.start()
        thread.join()
    assert [x is kept for x in constants] == [True]
