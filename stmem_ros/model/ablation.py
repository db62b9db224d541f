"""The same frame network without STF, without MAR, without both: to show what each adds.

Backbone and head are frozen when STF and MAR are trained, so the variants share them and differ in
little: each has a classifier of its own, and MAR without STF a memory of its own. A bundle may
carry that little as ``ablation.safetensors``.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from stmem_ros.error_text import error_text
from stmem_ros.io.whole_output import whole_folder
from stmem_ros.model.bundle import (
    ABLATION,
    DESCRIPTION,
    FILES,
    MEMORY,
    WEIGHTS,
    BundledSegmenter,
    BundleError,
    bundle_folder,
    load_bundle,
    read_weights,
    stored,
)
from stmem_ros.model.tensor_file import write_tensors

T = TypeVar("T")

# variant: (with STF, with MAR); named as the training stages that make them
VARIANTS = {
    "frame": (False, False),
    "stf": (True, False),
    "frame_mar": (False, True),
    "mar": (True, True),
}
TITLES = {
    "frame": "baseline",
    "stf": "+STF",
    "frame_mar": "+MAR",
    "mar": "+STF +MAR",
    "flow": "flow average",  # the rival of STF: no variant of the network, nothing to train
}


def variant_names(stf: bool, mar: bool) -> list[str]:
    """The variants of a network with these parts, in order; the last one is itself."""
    return [name for name, parts in VARIANTS.items() if parts[0] <= stf and parts[1] <= mar]


def of_whole(variants: dict[str, T]) -> T:
    """What belongs to the whole network, of things by variant; rivals of variants do not count."""
    return [value for name, value in variants.items() if name in VARIANTS][-1]


def assembled_stages(run: Path) -> list[str]:
    """The stages of a training run that its bundle is made of; the last one is shipped.

    ``mar`` is, or ``stf`` in a run without it.
    """
    return variant_names(stf=True, mar=(run / "mar").is_dir())


def assemble(run: Path, out: Path) -> None:
    """Write the bundle of a training run with all it takes to compare the variants.

    It is written whole or not at all, in the place of one that is there.

    Raises:
        BundleError: a stage of the run is missing, or its frame network is not shared by all.
    """
    *stages, last = assembled_stages(run)
    full = load_bundle(run / last, "cpu").state_dict()
    extra: dict[str, Tensor] = {}
    for name in stages:
        for key, value in load_bundle(run / name, "cpu").state_dict().items():
            if key not in full or not value.equal(full[key]):
                if not key.startswith(("classifier.", "mar.")):
                    raise BundleError(f"{run / name} and {run / last} differ in {key}")
                extra[f"{name}.{key}"] = stored(key, value)
    with whole_folder(out, FILES) as part:
        part.mkdir()
        for name in (DESCRIPTION, WEIGHTS, MEMORY):
            if (run / last / name).is_file():
                shutil.copyfile(run / last / name, part / name)
        write_tensors(part / ABLATION, extra)


def load_variants(name_or_folder: str | Path, device: str = "auto") -> dict[str, BundledSegmenter]:
    """The variants of a bundle with ``ablation.safetensors``, by their names in ``VARIANTS``.

    The last one is the bundle's network itself.

    Raises:
        BundleError: no such bundle, or it has no variants.
    """
    folder = bundle_folder(name_or_folder)
    if not (folder / ABLATION).is_file():
        raise BundleError(
            f"{folder} has no {ABLATION}: its variants cannot be compared; "
            "make one of a training run with `stmem model assemble`"
        )
    full = load_bundle(folder, device)
    extra = read_weights(folder / ABLATION)
    models = {}
    for name in variant_names(full.architecture.stf, full.architecture.mar):
        stf, mar = VARIANTS[name]
        architecture = dataclasses.replace(full.architecture, stf=stf, mar=mar)
        model = BundledSegmenter(dataclasses.replace(full.info, architecture=architecture))
        variant_state = {
            key.removeprefix(f"{name}."): value.float()
            for key, value in extra.items()
            if key.startswith(f"{name}.")
        }
        wanted = model.state_dict().keys()
        shared = {key: value for key, value in full.state_dict().items() if key in wanted}
        try:
            model.load_state_dict(shared | variant_state)
        except RuntimeError as error:
            raise BundleError(
                f"{folder / ABLATION} does not fit the bundle: {error_text(error)}"
            ) from error
        models[name] = model.eval().to(next(full.parameters()).device)
    return models
