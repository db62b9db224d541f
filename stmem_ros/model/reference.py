"""Names of the published code's state dict, and what they are called here.

Covers the checkpoints of Zhuang et al. (``pspnet.``, ``STF.``, ``MAR.``, with or without
``module.``) and PSPNet checkpoints of mmsegmentation (``backbone.``, ``decode_head.``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

# The auxiliary head only helps the training of the frame network.
IGNORED = re.compile(r"auxiliary_head\.|.*num_batches_tracked$")

_CONV_NORM = {"conv": "0", "bn": "1"}
_BLOCK_PARTS = {"1": "reduce", "2": "spatial", "3": "expand"}

# Applied in order, each at most once, after the prefixes are gone.
_RULES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # ResNet
    (r"^backbone\.stem\.(\d+)\.", lambda m: f"backbone.stem.{int(m[1]) // 3}.{int(m[1]) % 3}."),
    (
        r"^backbone\.layer(\d)\.(\d+)\.(conv|bn)(\d)\.",
        lambda m: (
            f"backbone.stages.{int(m[1]) - 1}.{m[2]}.{_BLOCK_PARTS[m[4]]}.{_CONV_NORM[m[3]]}."
        ),
    ),
    (
        r"^backbone\.layer(\d)\.(\d+)\.downsample\.",
        lambda m: f"backbone.stages.{int(m[1]) - 1}.{m[2]}.shortcut.",
    ),
    # Pyramid pooling head and classifier
    (
        r"^decode_head\.psp_modules\.(\d)\.1\.(conv|bn)\.",
        lambda m: f"head.pooling.grids.{m[1]}.1.{_CONV_NORM[m[2]]}.",
    ),
    (
        r"^decode_head\.bottleneck\.(conv|bn)\.",
        lambda m: f"head.bottleneck.{_CONV_NORM[m[1]]}.",
    ),
    (r"^decode_head\.conv_seg\.", "classifier."),
    # STF
    (r"^STF\.pe_enc$", "stf.window_position"),
    (r"^STF\.pe_dec$", "stf.target_position"),
    (r"^STF\.encoder\.layers\.0\.self_attn\.", "stf.encoder.attention."),
    (r"^STF\.decoder\.layers\.0\.self_attn\.", "stf.decoder.self_attention."),
    (r"^STF\.decoder\.layers\.0\.multihead_attn\.", "stf.decoder.cross_attention."),
    (r"^STF\.(encoder|decoder)\.layers\.0\.linear", r"stf.\1.feed_forward.linear"),
    (r"^STF\.(encoder|decoder)\.layers\.0\.", r"stf.\1."),
    (r"self_attn_(long|short)\.", r"\1."),
    # MAR
    (r"^MAR\.memory_key$", "mar.keys"),
    (r"^MAR\.memory_value$", "mar.values"),
    (r"^MAR\.HEdecoder\.attn\.to_q\.", "mar.to_query."),
    (r"^MAR\.HEdecoder\.attn\.to_k\.", "mar.to_key."),
    (r"^MAR\.HEdecoder\.attn\.to_v\.", "mar.to_value."),
    (r"^MAR\.HEdecoder\.attn\.to_out\.0\.", "mar.to_out."),
    (r"^MAR\.HEdecoder\.", "mar."),
)


def our_name(key: str) -> str | None:
    """Our name of a key of the published code; None for what is not needed to run the network."""
    name = key.removeprefix("module.").removeprefix("pspnet.")
    if IGNORED.match(name):
        return None
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict under our names; memory items lose their batch axis of one."""
    result = {}
    for key, value in state.items():
        if (name := our_name(key)) is not None:
            result[name] = value[0] if name in ("mar.keys", "mar.values") else value
    return result
