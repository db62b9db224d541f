"""Products with a matrix that stays, on a CPU by oneDNN.

MKL, which torch takes otherwise, leaves half of what AMD's processors can do: it does not use
AVX-512 there. oneDNN puts the matrix in an order of its own, once.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from stmem_ros.streaming.kernels import onednn

ROWS = 1024  # of the other factor, that the order is chosen for; others are multiplied as well


class Product:
    """x W^T + b, in inference.

    Args:
        weight: outputs x inputs.
        bias: outputs, or None.
        ordered: the matrix is kept in oneDNN's order, where oneDNN works; for float32 on a CPU.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, ordered: bool) -> None:
        self._ordered = ordered and onednn.products_work()
        self._weight = weight.detach()
        self._bias = bias
        if self._ordered:
            self._weight = onednn.order_linear_weight(self._weight.contiguous(), ROWS)

    def __call__(self, x: Tensor) -> Tensor:
        """... x inputs in, ... x outputs out."""
        if not self._ordered:
            return F.linear(x, self._weight, self._bias)
        return onednn.multiply(x, self._weight, self._bias)
