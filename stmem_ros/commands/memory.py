"""``stmem memory``: building the memory bank, importing a published one."""

from __future__ import annotations

import argparse
from pathlib import Path

from stmem_ros.commands.arguments import add_force
from stmem_ros.commands.errors import CommandError


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("memory", help="build or import the memory bank of MAR")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser(
        "build",
        help="hard features and prototypes of the training set; light form: the prototypes alone",
        epilog="example: stmem memory build mar --config config/training/onboard_camvid.yaml "
        "--data camvid --run runs/onboard",
    )
    _add_run_arguments(build)
    build.set_defaults(run_command=run_build)
    show = actions.add_parser(
        "show",
        help="a picture of the hard features, and how many lie nearest their own prototype",
        epilog="example: stmem memory show mar --config config/training/camvid_psp50.yaml "
        "--data camvid --run runs/psp50 --out memory.png",
    )
    _add_run_arguments(show)
    show.add_argument("--out", type=Path, default=Path("memory.png"), help="picture to write")
    show.set_defaults(run_command=run_show)
    take = actions.add_parser(
        "import",
        help="numpy files of the published code to a memory bank",
        epilog="example: stmem memory import key.npy value.npy bank.safetensors --classes 19",
    )
    take.add_argument("keys", type=Path, help="numpy file, items x channels, class by class")
    take.add_argument("values", type=Path, help="numpy file of the same shape")
    take.add_argument("out", type=Path, help="memory bank to write")
    take.add_argument("--classes", type=int, required=True, help="number of classes")
    add_force(take)
    take.set_defaults(run_command=run_import)


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", nargs="?", choices=("mar", "frame_mar"), default="mar",
                        help="the stage it is for (default: mar)")  # fmt: skip
    parser.add_argument("--config", type=Path, required=True, help="training configuration (YAML)")
    parser.add_argument("--data", type=Path, default=Path(), help="root folder of the data set")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    add_force(parser)


def run_build(options: argparse.Namespace) -> int:
    from stmem_ros.io.output_file import check_output_file
    from stmem_ros.model.bundle import load_bundle
    from stmem_ros.training.config import BEFORE, load_config
    from stmem_ros.training.memory_builder import build_memory
    from stmem_ros.training.run_folder import memory_path
    from stmem_ros.training.samples import Samples

    path = memory_path(options.run, options.stage)
    try:
        config = load_config(options.config)
        check_output_file(path, force=options.force)
        model = load_bundle(options.run / BEFORE[options.stage])
        samples = Samples(config, options.data, *config.window(options.stage))
        bank = build_memory(model, samples, config.memory_rule)
        bank.save(path)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    print(f"{len(bank.keys)} items written to {path}")
    return 0


def run_import(options: argparse.Namespace) -> int:
    from stmem_ros.io.output_file import check_output_file
    from stmem_ros.model.convert import import_memory

    try:
        check_output_file(options.out, [options.keys, options.values], options.force)
        bank = import_memory(options.keys, options.values, options.classes)
        bank.save(options.out)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    print(f"{len(bank.keys)} items written to {options.out}")
    return 0


def run_show(options: argparse.Namespace) -> int:
    import cv2

    from stmem_ros.io.output_file import check_output_file
    from stmem_ros.io.whole_output import whole_file
    from stmem_ros.model.memory import MemoryBank
    from stmem_ros.training.config import load_config
    from stmem_ros.training.memory_picture import draw_memory
    from stmem_ros.training.run_folder import memory_path
    from stmem_ros.training.samples import Samples

    try:
        config = load_config(options.config)
        check_output_file(options.out, force=options.force)
        bank = MemoryBank.load(memory_path(options.run, options.stage))
        length, target = config.window(options.stage)
        samples = Samples(config, options.data, length, target)
        picture = draw_memory(bank, samples, target, config.architecture.stride, samples.classes)
        with whole_file(options.out) as part:
            if not cv2.imwrite(str(part), picture[..., ::-1]):
                raise OSError(f"{options.out} cannot be written")
    except (OSError, ValueError, cv2.error) as error:
        raise CommandError(str(error)) from error
    own = bank.nearest_class() == bank.classes
    for c in samples.classes:
        class_items = bank.classes == c.id
        near, total = int(own[class_items].sum()), int(class_items.sum())
        print(f"{c.name:>14}  {near} of {total} keys nearest their own")
    print(f"picture written to {options.out}")
    return 0
