"""What a step of the optimiser is made of."""

import torch
from support.small import SMALL

from stmem_ros.model.segmenter import Segmenter
from stmem_ros.training.config import StageConfig
from stmem_ros.training.loop import _optimiser
from stmem_ros.training.stage_network import StageNetwork


def test_parameters_of_equal_rate_and_decay_are_one_group() -> None:
    """On a GPU each group is one launch."""
    network = StageNetwork(Segmenter(SMALL), "frame")
    settings = StageConfig(1, 2, 1e-3, backbone_rate=0.1, weight_decay=0.05)
    groups = _optimiser(network, settings).param_groups
    assert sorted((g["lr"], g["weight_decay"]) for g in groups) == [
        (1e-4, 0.0),
        (1e-4, 0.05),
        (1e-3, 0.0),
        (1e-3, 0.05),
    ]
    backbone = {id(p) for p in network.model.backbone.parameters()}
    for group in groups:
        for p in group["params"]:
            assert group["lr"] == (1e-4 if id(p) in backbone else 1e-3)
            assert group["weight_decay"] == (0.05 if p.ndim > 1 else 0.0)
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters()))


def test_a_cpu_takes_each_parameter_alone() -> None:
    optimiser = _optimiser(StageNetwork(Segmenter(SMALL), "frame"), StageConfig(1, 2, 1e-3))
    assert isinstance(optimiser, torch.optim.AdamW)
    assert not optimiser.defaults["fused"] and optimiser.defaults["foreach"] is False
