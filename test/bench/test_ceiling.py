"""What a stage takes at least: counted work at measured rates."""

import pytest
import torch

from stmem_ros.bench.ceiling import Rates, Work, count_work, measure_rates, stage_limits


def test_operators_are_bound_by_products_or_by_memory() -> None:
    work = {"a": [Work(flops=2e9, bytes=1e6), Work(flops=0, bytes=1e6)]}
    limit = stage_limits(work, Rates(flops=1e12, bytes=1e9))["a"]
    assert limit.ms == pytest.approx(2 + 1)
    assert (limit.gflop, limit.megabytes, limit.bound) == (2.0, 2.0, "products")


def test_the_work_of_a_convolution_is_that_of_its_products(small_model) -> None:
    work = count_work(small_model, (64, 96), "float32")
    assert list(work) == ["upload", "backbone", "stf", "mar", "decode"]
    # The stem: 3 x 3 x 3 products and sums for each of 32 x 48 x 32 numbers.
    stem = 2 * 27 * 32 * 48 * 32
    assert stem in [w.flops for w in work["backbone"]]
    image = 64 * 96 * 3
    assert sum(w.bytes for w in work["upload"]) >= image + 4 * image


def test_rates_are_those_of_a_machine() -> None:
    rates = measure_rates(torch.device("cpu"), "float32")
    assert rates.flops > 1e8 and rates.bytes > 1e7
