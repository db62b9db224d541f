"""Model bundles: a folder with ``model.yaml``, ``weights.safetensors``, ``memory.safetensors``.

Nothing is unpickled. ``model.yaml`` tells the architecture, the input it was trained on, its
classes and how it was trained. Matrices of the weights may be float16, all else is float32.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from stmem_ros.classes import SemanticClass, check_class_names, check_name
from stmem_ros.configuration import ConfigurationError, CountFromOne, Positive, read_configuration
from stmem_ros.error_text import error_text
from stmem_ros.io.whole_output import whole_file, whole_folder
from stmem_ros.model.familiarity import Familiarity
from stmem_ros.model.memory import MemoryBank
from stmem_ros.model.segmenter import Architecture, Segmenter
from stmem_ros.model.tensor_file import (
    read_tensor_header,
    read_tensors,
    write_tensors,
)

DESCRIPTION = "model.yaml"
WEIGHTS = "weights.safetensors"
MEMORY = "memory.safetensors"
ABLATION = "ablation.safetensors"  # written and read by ablation.py
FAMILIARITY = "familiarity.safetensors"  # of a calibrated model
INT8_FEATURES = "features.int8.onnx"  # of a quantised model
FILES = (DESCRIPTION, WEIGHTS, MEMORY, ABLATION, FAMILIARITY, INT8_FEATURES)  # of a bundle

SHIPPED = Path(__file__).parent.parent / "bundles"
REASON_LENGTH = 300  # characters of another library's message
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class BundleError(ValueError):
    """A model bundle cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class ModelInfo:
    """What ``model.yaml`` says.

    Attributes:
        name: name of the model.
        architecture: how to build the network.
        classes: the label set, in the order of the class ids.
        height: image height in pixels the model was trained at.
        mean, std: RGB normalisation, grey levels.
        training: free-form summary of how it was trained, with measured scores.
        checked: precisions in which its labels were compared with those in float32.
        temperature: what scores are divided by before they become probabilities, so that these
            tell how often labels are right (Guo et al., On calibration of modern neural networks,
            ICML 2017); labels are the same with any.
    """

    name: str
    architecture: Architecture
    classes: tuple[SemanticClass, ...]
    height: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    training: dict[str, Any] = field(default_factory=dict)
    checked: tuple[str, ...] = ("float32",)
    temperature: float = 1.0


@dataclass(frozen=True)
class InputDescription:
    """Section ``input`` of ``model.yaml``; see :class:`ModelInfo`."""

    height: CountFromOne
    mean: tuple[float, float, float]
    std: tuple[Positive, Positive, Positive]


@dataclass(frozen=True)
class ModelDescription:
    """``model.yaml`` as it is written; see :class:`ModelInfo`."""

    name: str
    architecture: Architecture
    input: InputDescription
    classes: tuple[SemanticClass, ...]
    training: dict[str, Any] = field(default_factory=dict)
    checked: tuple[str, ...] = ModelInfo.checked
    temperature: Positive = ModelInfo.temperature


class BundledSegmenter(Segmenter):
    """A :class:`Segmenter` that knows the bundle it came from.

    Attributes:
        info: what its ``model.yaml`` says.
        familiarity: what known images are like; None if it was not calibrated.
        int8_features: backbone and head in int8, an ONNX graph for CPUs
            (stmem_ros.streaming.int8_features); None if it was not quantised.
    """

    def __init__(self, info: ModelInfo) -> None:
        super().__init__(info.architecture)
        self.info = info
        self.familiarity: Familiarity | None = None
        self.int8_features: bytes | None = None


def shipped_bundles() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob("*/model.yaml"))


def bundle_folder(name_or_folder: str | Path) -> Path:
    """The folder of a shipped bundle's name, or of a path.

    Raises:
        BundleError: there is no such bundle.
    """
    for folder in (Path(name_or_folder), SHIPPED / str(name_or_folder)):
        if (folder / DESCRIPTION).is_file():
            return folder
    raise BundleError(
        f"no model bundle {str(name_or_folder)!r}: it is neither a folder with a model.yaml "
        f"nor one of the shipped ones ({', '.join(shipped_bundles()) or 'none'})"
    )


def load_bundle(name_or_folder: str | Path, device: str = "auto") -> BundledSegmenter:
    """Load a model in evaluation mode.

    Args:
        name_or_folder: a shipped bundle by name (``onboard``), or a bundle's folder.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ...

    Returns:
        The network; called on normalised float frames N x T x 3 x H x W it returns logits
        N x classes x H x W (the plain form).

    Raises:
        BundleError: no such bundle, or it is damaged; the message names the file.
        ValueError: the device is not there.
    """
    folder = bundle_folder(name_or_folder)
    target = resolve_device(device)
    info = read_info(folder)
    _check_shapes(folder, info)
    model = BundledSegmenter(info)
    state = read_weights(folder / WEIGHTS)
    if model.mar is not None:
        bank = load_memory(folder / MEMORY, model)
        state |= {"mar.keys": bank.keys, "mar.values": bank.values}
    model.load_state_dict({key: value.float() for key, value in state.items()})
    if (folder / FAMILIARITY).is_file():
        model.familiarity = load_familiarity(folder / FAMILIARITY, info).to(target)
    if (folder / INT8_FEATURES).is_file():
        model.int8_features = (folder / INT8_FEATURES).read_bytes()
    return model.eval().to(target)


def load_familiarity(path: Path, info: ModelInfo) -> Familiarity:
    """Read what images are familiar, and check that it fits the model.

    Raises:
        BundleError: it cannot be read, or has another size than the model's features.
    """
    with _bundle_errors():
        familiarity = Familiarity.load(path)
    if len(familiarity.mean) != info.architecture.channels:
        raise BundleError(
            f"{path} is of {len(familiarity.mean)} channels; "
            f"this model has {info.architecture.channels}"
        )
    return familiarity


@contextmanager
def _bundle_errors() -> Iterator[None]:
    """What is wrong with a file of a bundle is wrong with the bundle."""
    try:
        yield
    except ValueError as error:
        raise BundleError(str(error)) from error


def _check_shapes(folder: Path, info: ModelInfo) -> None:
    """Look at the header of the weights before a network of the described size is made.

    Raises:
        BundleError: they are missing, damaged, or of another network.
    """
    with _bundle_errors():
        stored = read_tensor_header(folder / WEIGHTS).tensors
    model = _shapes_of(info.architecture)
    state = {key: torch.empty(tensor.shape, device="meta") for key, tensor in stored.items()}
    others = ("mar.keys", "mar.values", "num_batches_tracked")  # in another file, or nowhere
    state |= {key: value for key, value in model.state_dict().items() if key.endswith(others)}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = error_text(error, REASON_LENGTH)
        raise BundleError(
            f"{folder / WEIGHTS} does not fit {folder / DESCRIPTION}: {reason}"
        ) from error


@lru_cache(maxsize=8)
def _shapes_of(architecture: Architecture) -> Segmenter:
    """A network that has shapes and no memory."""
    with torch.device("meta"):
        return Segmenter(architecture)


def save_bundle(
    folder: Path,
    model: Segmenter,
    info: ModelInfo,
    bank: MemoryBank | None,
    half: bool = True,
) -> None:
    """Write a bundle, whole or not at all, in the place of one that is there.

    Args:
        bank: with MAR, tells the class of each item and how it was chosen.
        half: matrices are stored as float16, half the size; vectors always keep float32.

    Raises:
        ValueError: weights are not finite as they would be stored.
    """
    if model.mar is not None and bank is None:
        raise ValueError("a model with MAR is saved with its memory bank")
    state = {
        key: (stored(key, value) if half else value).detach().cpu()
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked") and key not in ("mar.keys", "mar.values")
    }
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(
                f"bundle {folder} is not written: its weights {key} are not finite as "
                f"{str(value.dtype).removeprefix('torch.')}; did training diverge? lower the "
                "learning rate"
            )
    with whole_folder(folder, FILES) as part:
        part.mkdir()
        write_tensors(part / WEIGHTS, state)
        if model.mar is not None and bank is not None:
            dataclasses.replace(
                bank, keys=model.mar.keys.detach().cpu(), values=model.mar.values.detach().cpu()
            ).save(part / MEMORY)
        (part / DESCRIPTION).write_text(_description_text(info))


def save_quantised(folder: Path, source: Path, int8_features: bytes) -> None:
    """Write a copy of the bundle in ``source`` with a graph for CPUs, whole or not at all."""
    with whole_folder(folder, FILES) as part:
        part.mkdir()
        for name in FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, part / name)
        (part / INT8_FEATURES).write_bytes(int8_features)


def write_calibration(folder: Path, temperature: float, familiarity: Familiarity) -> None:
    """Have the model in a bundle's folder be calibrated so."""
    info = dataclasses.replace(read_info(folder), temperature=temperature)
    familiarity.save(folder / FAMILIARITY)
    with whole_file(folder / DESCRIPTION) as part:
        part.write_text(_description_text(info))


def _description_text(info: ModelInfo) -> str:
    """Content of ``model.yaml``."""
    description = ModelDescription(
        name=info.name,
        architecture=info.architecture,
        input=InputDescription(info.height, info.mean, info.std),
        classes=info.classes,
        training=info.training,
        checked=info.checked,
        temperature=info.temperature,
    )
    return yaml.safe_dump(_plain(dataclasses.asdict(description)), sort_keys=False)


def load_memory(path: Path, model: Segmenter) -> MemoryBank:
    """Read a memory bank and check that it fits ``model``.

    Raises:
        BundleError: it cannot be read, or has other sizes than the model's memory.
    """
    with _bundle_errors():
        bank = MemoryBank.load(path)
    if model.mar is None:
        raise BundleError(f"memory bank {path}: this model has no memory refinement")
    if bank.keys.shape != model.mar.keys.shape:
        raise BundleError(
            f"memory bank {path} is {tuple(bank.keys.shape)}; "
            f"this model takes {tuple(model.mar.keys.shape)} (items x channels)"
        )
    return bank


def read_info(folder: Path) -> ModelInfo:
    """Read ``model.yaml`` of a bundle.

    Raises:
        BundleError: it is missing, no YAML, or says something that is not allowed.
    """
    path = folder / DESCRIPTION
    try:
        description = read_configuration(path, ModelDescription, "model description")
    except ConfigurationError as error:
        raise BundleError(str(error)) from error
    count = description.architecture.classes
    if [c.id for c in description.classes] != list(range(count)):
        raise BundleError(f"{path}: classes must have the ids 0 to {count - 1} in order")
    try:
        check_name(description.name)
        check_class_names([c.name for c in description.classes])
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error
    return ModelInfo(
        name=description.name,
        architecture=description.architecture,
        classes=description.classes,
        height=description.input.height,
        mean=description.input.mean,
        std=description.input.std,
        training=description.training,
        checked=description.checked or ModelInfo.checked,
        temperature=description.temperature,
    )


def resolve_device(device: str) -> torch.device:
    """The torch device of a name; ``auto`` is a GPU if there is one.

    Raises:
        ValueError: unknown name, or a GPU that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}; allowed: auto, cpu, cuda, cuda:N") from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device is {device!r} but torch sees {torch.cuda.device_count()} CUDA devices; "
            "use 'cpu', or install the CUDA build of torch"
        )
    return resolved


def stored(key: str, value: Tensor) -> Tensor:
    """A weight as it is stored at half size: matrices as float16, all else as it is."""
    return value.half() if value.ndim > 1 and key not in ("mar.keys", "mar.values") else value


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a bundle's file.

    Raises:
        BundleError: it is missing or damaged.
    """
    with _bundle_errors():
        return read_tensors(path)


def _plain(value: Any) -> Any:
    """Tuples as lists, so that YAML stays readable by any parser."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
