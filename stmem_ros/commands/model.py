"""``stmem model``: looking into model bundles, making them, exporting them."""

from __future__ import annotations

import argparse
from pathlib import Path

from stmem_ros.commands.arguments import add_force, dataset_root, image_size
from stmem_ros.commands.errors import CommandError


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "model",
        help="look into a model bundle; convert a checkpoint; calibrate; export to ONNX; to int8",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser(
        "info", help="architecture, classes, training", epilog="example: stmem model info onboard"
    )
    info.add_argument("model", help="shipped bundle or a bundle's folder")
    info.set_defaults(run_command=run_info)
    convert = actions.add_parser(
        "convert",
        help="a published checkpoint to a bundle",
        epilog="example: stmem model convert stf_mar_psp50_city.pth bundles/psp50",
    )
    convert.add_argument("checkpoint", type=Path, help="of the published code or mmsegmentation")
    convert.add_argument("out", type=Path, help="folder of the new bundle")
    convert.add_argument("--name", help="name of the model (default: the folder's)")
    convert.add_argument("--height", type=int, default=1024, help="image height it was trained at")
    add_force(convert)
    convert.set_defaults(run_command=run_convert)
    assemble = actions.add_parser(
        "assemble",
        help="the bundle of a training run, with its variants for --ablate",
        epilog="example: stmem model assemble runs/onboard bundles/onboard",
    )
    assemble.add_argument("run", type=Path, help="folder with frame, stf, frame_mar and mar")
    assemble.add_argument("out", type=Path, help="folder of the new bundle")
    add_force(assemble)
    assemble.set_defaults(run_command=run_assemble)
    calibrate = actions.add_parser(
        "calibrate",
        help="learn on other streets how sure the model may be, and what is familiar to it",
        epilog="example: stmem model calibrate bundles/onboard --data camvid=camvid "
        "--data idd_lite=idd_lite",
    )
    calibrate.add_argument("model", type=Path, help="a bundle's folder")
    calibrate.add_argument(
        "--data",
        type=dataset_root,
        action="append",
        required=True,
        metavar="NAME=FOLDER",
        help="labelled frames that it was not trained on; several count alike",
    )
    calibrate.add_argument(
        "--split", default="val", help="of the data, that was left out of training (default: val)"
    )
    calibrate.add_argument(
        "--known-split", default="train", help="whose images are familiar besides (default: train)"
    )
    calibrate.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    calibrate.set_defaults(run_command=run_calibrate)
    export = actions.add_parser(
        "export",
        help="the step of a stream as an ONNX graph",
        epilog="example: stmem model export onboard --out onboard.onnx --size 360x480",
    )
    export.add_argument("model", help="shipped bundle or a bundle's folder")
    export.add_argument("--out", type=Path, required=True, metavar="FILE.onnx")
    export.add_argument(
        "--size", type=image_size, required=True, metavar="HxW", help="of the images"
    )
    add_force(export)
    export.set_defaults(run_command=run_export)
    quantise = actions.add_parser(
        "quantise",
        help="a copy of a bundle whose backbone and head run in int8 on CPUs",
        epilog="example: stmem model quantise onboard onboard-int8 --size 360x480 "
        "--data camvid=camvid",
    )
    quantise.add_argument("model", help="shipped bundle or a bundle's folder")
    quantise.add_argument("out", type=Path, help="folder of the new bundle")
    quantise.add_argument(
        "--size",
        type=image_size,
        required=True,
        metavar="HxW",
        help="of the images as the network sees them; others run in float32",
    )
    quantise.add_argument(
        "--data",
        type=dataset_root,
        required=True,
        metavar="NAME=FOLDER",
        help="training images that tell the ranges of values",
    )
    quantise.add_argument(
        "--frames", type=int, default=8, help="of the training images (default: 8)"
    )
    add_force(quantise)
    quantise.set_defaults(run_command=run_quantise)


def run_info(options: argparse.Namespace) -> int:
    import dataclasses

    from stmem_ros.model.bundle import load_bundle

    try:
        model = load_bundle(options.model, "cpu")
    except ValueError as error:
        raise CommandError(str(error)) from error
    info = model.info
    print(f"{info.name}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    for part, module in model.named_children():
        print(f"  {part:<12} {sum(p.numel() for p in module.parameters()) / 1e6:6.2f} M")
    print("architecture")
    for name, value in dataclasses.asdict(info.architecture).items():
        print(f"  {name:<16} {value}")
    print(f"trained at a height of {info.height} pixels")
    for name, value in info.training.items():
        print(f"  {name:<16} {value}")
    print("classes: " + ", ".join(c.name for c in info.classes))
    return 0


def run_convert(options: argparse.Namespace) -> int:
    from stmem_ros.io.output_file import check_output_files
    from stmem_ros.model.bundle import save_bundle
    from stmem_ros.model.convert import convert_checkpoint

    try:
        check_output_files(options.out, [options.checkpoint], options.force)
        name = options.name or options.out.name
        model, bank = convert_checkpoint(options.checkpoint, name, options.height)
        save_bundle(options.out, model, model.info, bank, half=False)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    parts = [part for part in ("stf", "mar") if getattr(model.info.architecture, part)]
    print(
        f"{model.info.architecture.backbone}, {len(model.info.classes)} classes, "
        f"{' and '.join(parts) or 'no STF or MAR'}, centred window: written to {options.out}"
    )
    return 0


def run_assemble(options: argparse.Namespace) -> int:
    from stmem_ros.io.output_file import check_output_files
    from stmem_ros.model.ablation import assemble, assembled_stages

    try:
        stages = [options.run / name for name in assembled_stages(options.run)]
        check_output_files(options.out, stages, options.force)
        assemble(options.run, options.out)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    print(f"bundle written to {options.out}")
    return 0


def run_calibrate(options: argparse.Namespace) -> int:
    import torch

    from stmem_ros.data.datasets import open_dataset
    from stmem_ros.model.bundle import load_bundle, write_calibration
    from stmem_ros.model.familiarity import Familiarity
    from stmem_ros.training.calibration import TEMPERATURES, dataset_means, temperature_losses

    try:
        model = load_bundle(options.model, options.device)
        left_out, known = (
            [open_dataset(name, root, split) for name, root in options.data]
            for split in (options.split, options.known_split)
        )
        losses = [temperature_losses(model, dataset) for dataset in left_out]
        means = [dataset_means(model, dataset) for dataset in (*known, *left_out)]
        familiarity = Familiarity.of(torch.cat(means))
        best = int(torch.stack(losses).sum(dim=0).argmin())
        temperature = round(float(TEMPERATURES[best]), 3)
        write_calibration(options.model, temperature, familiarity)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    print(
        f"temperature {temperature} (was {model.info.temperature}), in {options.model}/model.yaml"
    )
    print("mean -log probability of the right label at 1 / at this temperature / at its own best")
    plain = int((TEMPERATURES - 1).abs().argmin())
    for (name, _), loss in zip(options.data, losses, strict=True):
        print(f"  {name:<12} {loss[plain]:.4f} / {loss[best]:.4f} / {loss.min():.4f}")
    return 0


def run_export(options: argparse.Namespace) -> int:
    from stmem_ros.io.output_file import check_output_file
    from stmem_ros.model.bundle import bundle_folder, load_bundle
    from stmem_ros.streaming.onnx_export import export_onnx, weights_file

    try:
        for path in (options.out, weights_file(options.out)):
            check_output_file(path, [bundle_folder(options.model)], options.force)
        export_onnx(load_bundle(options.model, "cpu"), options.size, options.out)
    except ImportError as error:
        raise CommandError(f"{error}; pip install onnx onnxscript") from error
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    height, width = options.size
    print(f"one frame of {height} x {width} pixels, state in and out: written to {options.out}")
    return 0


def run_quantise(options: argparse.Namespace) -> int:
    from stmem_ros.data.datasets import open_dataset
    from stmem_ros.io.output_file import check_output_files
    from stmem_ros.model.bundle import bundle_folder, load_bundle, save_quantised
    from stmem_ros.streaming.quantisation import quantise

    if options.frames < 1:
        raise CommandError(f"frames is {options.frames}; it must be at least 1")
    try:
        source = bundle_folder(options.model)
        check_output_files(options.out, [source], options.force)
        name, root = options.data
        dataset = open_dataset(name, root, "train")
        names = [name for clip in dataset.clips for name in clip.names]
        chosen = names[:: -(-len(names) // options.frames)]
        images = [dataset.image(name) for name in chosen]  # what cannot be read is told at once
        graph = quantise(load_bundle(source, "cpu"), options.size, images)
        save_quantised(options.out, source, graph)
    except ImportError as error:
        raise CommandError(f"{error}; pip install onnx onnxruntime onnxscript") from error
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    height, width = options.size
    print(
        f"backbone and head in int8 for images of {height} x {width} pixels, ranges of "
        f"{len(chosen)} frames: written to {options.out}"
    )
    return 0
