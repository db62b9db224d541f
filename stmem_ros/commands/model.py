"""``stmem model``: looking into model bundles."""

from __future__ import annotations

import argparse

from stmem_ros.commands.errors import CommandError


def add_parser(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("model", help="look into a model bundle")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser(
        "info", help="architecture, classes, training", epilog="example: stmem model info onboard"
    )
    info.add_argument("model", help="shipped bundle or a bundle's folder")
    info.set_defaults(run_command=run_info)


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
