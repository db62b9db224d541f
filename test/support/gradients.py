"""A process that computes gradients of one global batch of the STF stage: CONFIG DATA OUT."""

import sys
from pathlib import Path

import torch
from support.listeners import open_addresses
from torch.nn.parallel import DistributedDataParallel

from stmem_ros.model.segmenter import Segmenter
from stmem_ros.training.batches import Windows, epoch_batches, epoch_order
from stmem_ros.training.config import load_config
from stmem_ros.training.label_loss import LabelLoss
from stmem_ros.training.losses import batch_loss, class_weights
from stmem_ros.training.processes import TrainingProcess
from stmem_ros.training.samples import Samples
from stmem_ros.training.stage_network import StageNetwork


def main() -> int:
    config = load_config(Path(sys.argv[1]))
    process = TrainingProcess.join()
    torch.manual_seed(0)
    model = Segmenter(config.architecture)
    network = StageNetwork(model, "stf").train()
    samples = Samples(config, Path(sys.argv[2]), *config.window("stf"))
    windows = Windows(samples, *config.window("stf"), config.stf, [1])
    parallel = DistributedDataParallel(network) if process.count > 1 else network
    label_loss = LabelLoss(class_weights(samples), torch.from_numpy(samples.allowed))
    for batch in epoch_batches(windows, epoch_order(samples, 0, 1, [2]), process, workers=0):
        loss = batch_loss(parallel, model, batch, label_loss, process, config.stf, bfloat16=False)
        loss.backward()
    trained = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    if process.rank == 0:
        content = {"gradients": trained, "processes": process.count}
        torch.save(content | {"open": sorted(open_addresses(Path("/proc/self")))}, sys.argv[3])
    process.wait()
    return 0
