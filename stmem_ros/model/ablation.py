"""The same frame network without STF, without MAR, without both: to show what each adds.

Backbone and head are frozen when STF and MAR are trained, so the variants share them and differ in
little: each has a classifier of its own, and MAR without STF a memory of its own. A bundle may
carry that little as ``ablation.safetensors``.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from torch import Tensor

from stmem_ros.model.bundle import (
    BundledSegmenter,
    BundleError,
    bundle_folder,
    load_bundle,
    read_tensors,
    stored,
)
from stmem_ros.model.tensor_file import write_tensors

FILE = "ablation.safetensors"
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


def assemble(run: Path, out: Path) -> None:
    """The bundle of a training run with all it takes to compare the variants.

    Raises:
        BundleError: a stage of the run is missing, or its frame network is not shared by all.
    """
    models = {name: load_bundle(run / name, "cpu") for name in VARIANTS}
    full = models.pop("mar").state_dict()
    extra: dict[str, Tensor] = {}
    for name, model in models.items():
        for key, value in model.state_dict().items():
            if key not in full or not value.equal(full[key]):
                if not key.startswith(("classifier.", "mar.")):
                    raise BundleError(f"{run / name} and {run / 'mar'} differ in {key}")
                extra[f"{name}.{key}"] = stored(key, value)
    out.mkdir(parents=True, exist_ok=True)
    for path in (run / "mar").iterdir():
        shutil.copyfile(path, out / path.name)
    write_tensors(out / FILE, extra)


def load_variants(name_or_folder: str | Path, device: str = "auto") -> dict[str, BundledSegmenter]:
    """The variants of a bundle with ``ablation.safetensors``, by their names in ``VARIANTS``.

    Raises:
        BundleError: no such bundle, or it has no variants.
    """
    folder = bundle_folder(name_or_folder)
    if not (folder / FILE).is_file():
        raise BundleError(
            f"{folder} has no {FILE}: its variants cannot be compared; "
            "make one of a training run with `stmem model assemble`"
        )
    full = load_bundle(folder, device)
    extra = read_tensors(folder / FILE)
    models = {}
    for name, (stf, mar) in VARIANTS.items():
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
            reason = " ".join(str(error).split())
            raise BundleError(f"{folder / FILE} does not fit the bundle: {reason}") from error
        models[name] = model.eval().to(next(full.parameters()).device)
    return models
