"""Files of weights as people have them: the state dict in them, or what they are instead."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stmem_ros.io.file_kind import what_it_is
from stmem_ros.model.tensor_file import TensorFileError, read_tensors

# Where training frameworks keep weights; of several the first is taken, averages last.
_KEYS = (
    "state_dict", "model_state_dict", "model", "network", "net", "weights", "params", "module",
    "ema_state_dict", "state_dict_ema", "model_ema", "ema", "teacher", "student",
)  # fmt: skip
# What wrappers put before names: torch.compile, DistributedDataParallel, Lightning, averages.
_PREFIXES = ("_orig_mod.", "module.", "model.", "ema_model.", "ema.", "network.", "net.",
             "teacher.", "student.")  # fmt: skip
_SHARED = 0.9  # of the names, which have a prefix that is a wrapper's
_DEPTH = 3  # of dicts in dicts that are looked into
_OBJECT = re.compile(r"(?:GLOBAL|Unsupported class) ([\w.]+)")  # the latter before torch 2.4


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file, what is wrong and what to do."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The weights in a file of ``torch.save`` or safetensors, by name, without wrappers' prefixes.

    Read with ``weights_only``: nothing in the file is run.

    Raises:
        CheckpointError: it holds something else, or cannot be read.
    """
    raw = _load(path)
    if isinstance(raw, Mapping) and (found := next(_states(raw, 0), None)) is not None:
        return _without_prefixes(found)
    if not isinstance(raw, Mapping) or not raw:
        raise CheckpointError(
            f"checkpoint {path} holds {_kind(raw)}; allowed: the weights of a network by name "
            "(torch.save(model.state_dict(), FILE))"
        )
    keys = ", ".join(f"{key} ({_kind(value)})" for key, value in list(raw.items())[:5])
    raise CheckpointError(
        f"checkpoint {path} holds no state dict under a key that is known ({', '.join(_KEYS)}); "
        f"its first keys are {keys}; save the state dict alone"
    )


def _load(path: Path) -> Any:
    try:
        if wrong := what_it_is(path):
            raise CheckpointError(f"checkpoint {path} {wrong}; allowed: torch.save, safetensors")
        if path.suffix == ".safetensors" or _is_safetensors(path):
            return read_tensors(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that are refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {path} is missing") from error
    except IsADirectoryError as error:
        raise CheckpointError(f"checkpoint {path} is a folder; name the file in it") from error
    except TensorFileError as error:
        raise CheckpointError(
            f"checkpoint {path} is cut off or damaged: copy or download it once more"
        ) from error
    except Exception as error:  # damaged bytes make the reader fail in many ways
        raise CheckpointError(f"checkpoint {path} {_reason(error)}") from error


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins so, whatever its name: a length, and JSON of that length."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def _reason(error: Exception) -> str:
    """Why torch could not read a file, and what to do."""
    if isinstance(error, PermissionError):
        return "cannot be read: no permission"
    if found := _OBJECT.search(str(error)):
        name = found[1]
        of_numpy = " (a numpy scalar or array)" if name.startswith("numpy.") else ""
        return (
            f"holds an object of {name}{of_numpy} beside the weights, which could run code and is "
            "not loaded; where the training runs, save the weights alone: "
            "torch.save(model.state_dict(), FILE)"
        )
    if "TorchScript" in str(error) or "constants.pkl" in str(error):
        return "is a TorchScript archive; save the state dict of the network instead"
    return "is cut off or damaged, or no file of torch.save: copy or download it once more"


def _states(content: Mapping[Any, Any], depth: int) -> Iterator[dict[str, Tensor]]:
    """State dicts in a checkpoint, the one that is meant first."""
    if content and all(isinstance(value, Tensor) for value in content.values()):
        yield {str(key): value for key, value in content.items()}
        return
    if depth == _DEPTH:
        return
    for key in _KEYS:
        if isinstance(inner := content.get(key), Mapping):
            yield from _states(inner, depth + 1)


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefixes that nearly all of them have, however often.

    Counters of averages, which belong to no layer, are left out.
    """
    layers = {key: value for key, value in state.items() if "." in key or value.numel() > 1}
    state = layers or state
    while prefix := next((p for p in _PREFIXES if _is_shared(p, state)), ""):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _is_shared(prefix: str, names: Mapping[str, Tensor]) -> bool:
    return sum(name.startswith(prefix) for name in names) > _SHARED * len(names)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return "a tensor"
    return f"{'an empty ' if value in ({}, []) else ''}{type(value).__name__}"
