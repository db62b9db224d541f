"""The memory bank holds exactly the hardest and the surest features."""

import numpy as np
import pytest
import torch

from stmem_ros.classes import CAMVID
from stmem_ros.training.memory_builder import MemoryBuilder, near_boundary

CLASSES = CAMVID[:3]
ITEMS = 4


def make_frames(count: int, seed: int = 0):
    """Random frames: features 5 x 6 x 7, logits 3 x 6 x 7, labels; every class occurs."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    return [
        (
            torch.randn(5, 6, 7),
            2 * torch.randn(3, 6, 7),
            random.choice([0, 1, 2, 255], (6, 7)).astype(np.uint8),
        )
        for _ in range(count)
    ]


def build(frames, order, rule="confidence"):
    builder = MemoryBuilder(CLASSES, ITEMS, 5, rule)
    for i in order:
        builder.add(i, *frames[i])
    return builder


def test_keys_and_values_are_the_true_bottom_and_top() -> None:
    frames = make_frames(6)
    bank = build(frames, range(6)).build()
    for c in range(3):
        rows = []
        for features, logits, label in frames:
            probability, predicted = logits.softmax(0).max(0)
            mine = (predicted == c) & (torch.from_numpy(label) == c)
            rows += zip(probability[mine].tolist(), features[:, mine].T, strict=True)
        rows.sort(key=lambda row: row[0])
        mine = bank.classes == c
        assert torch.equal(bank.keys[mine], torch.stack([r[1] for r in rows[:ITEMS]]))
        prototype = torch.stack([r[1] for r in rows[-ITEMS:]]).mean(0)
        assert torch.allclose(bank.values[mine], prototype.expand(ITEMS, -1), atol=1e-6)


@pytest.mark.parametrize("rule", ["confidence", "boundary"])
def test_order_and_sharding_do_not_matter(rule: str) -> None:
    frames = make_frames(8)
    for frame in frames[::2]:
        frame[1].copy_(torch.where(frame[1] > 0, 50.0, -50.0))  # many equal scores
    whole = build(frames, range(8), rule).build()
    shuffled = build(frames, (5, 2, 7, 0, 3, 1, 6, 4), rule).build()
    left, right = build(frames, (6, 1, 3), rule), build(frames, (7, 0, 5, 2, 4), rule)
    left.merge(right)
    for bank in (shuffled, left.build()):
        assert torch.equal(bank.keys, whole.keys)
        assert torch.equal(bank.values, whole.values)


def test_a_class_with_few_pixels_repeats_what_it_has() -> None:
    frames = make_frames(1)
    features, logits, label = frames[0]
    label[:] = np.where(label == 2, 255, label)
    label[0, 0] = 2
    logits[:, 0, 0] = torch.tensor([0.0, 0.0, 9.0])
    bank = build(frames, [0]).build()
    assert torch.equal(bank.keys[bank.classes == 2], features[:, 0, 0].expand(ITEMS, -1))


def test_a_class_never_seen_is_named() -> None:
    frames = make_frames(2)
    for _, _, label in frames:
        label[label == 1] = 255
    with pytest.raises(ValueError, match=rf"\b{CLASSES[1].name}\b"):
        build(frames, range(2)).build()


def test_the_boundary_rule_takes_keys_from_boundaries_alone() -> None:
    features, logits, _ = make_frames(1)[0]
    label = np.zeros((6, 7), np.uint8)
    label[:, 4:] = 1
    logits[:] = torch.nn.functional.one_hot(torch.from_numpy(label).long(), 3).permute(2, 0, 1)
    builder = MemoryBuilder(CLASSES[:2], ITEMS, 5, "boundary")
    builder.add(0, features, logits[:2], label)
    keys = builder.build().keys
    columns = {tuple(k.tolist()) for k in features[:, :, 3:5].flatten(1).T}
    assert all(tuple(k.tolist()) in columns for k in keys)
    assert near_boundary(label)[0].tolist() == [False, False, False, True, True, False, False]


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'luck'.*confidence, boundary"):
        MemoryBuilder(CLASSES, ITEMS, 5, "luck")


def test_the_bank_knows_where_its_keys_were_found(tmp_path) -> None:
    frames = make_frames(5)
    bank = build(frames, range(5)).build()
    bank.save(tmp_path / "bank.safetensors")
    bank = type(bank).load(tmp_path / "bank.safetensors")
    for key, (frame, row, column) in zip(bank.keys, bank.places.tolist(), strict=True):
        assert torch.equal(key, frames[frame][0][:, row, column])


def test_keys_nearest_another_prototype_are_found() -> None:
    from stmem_ros.model.memory import MemoryBank

    values = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    keys = torch.tensor([[1.0, 0.0], [3.0, 0.0], [3.5, 1.0], [5.0, 0.0]])
    bank = MemoryBank(keys, values, torch.tensor([0, 0, 1, 1]), "confidence")
    assert bank.nearest_class().tolist() == [0, 1, 1, 1]
