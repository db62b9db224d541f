"""What the documents tell people to type: commands that exist, and tutorials that work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stmem_ros.commands.stmem import build_parser

ROOT = Path(__file__).parent.parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
WITH_A_NODE = ("first_robot", "two_cameras")
WITHOUT = ("your_bag_to_a_report", "your_data_to_a_bundle", "ci_gate")


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each `stmem` command in blocks of a page; without those that name variables."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    for line in re.findall(r"^(?: {4})?(?:\.venv/bin/)?(stmem .*)$", text, re.MULTILINE):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        ends = [i for i, word in enumerate(words) if set(word) <= set("|&;<>")]
        words = words[1 : min(ends, default=None)]
        if not any("$" in word for word in words):
            yield words


def script(name: str) -> str:
    """The blocks of a tutorial, as somebody pastes them."""
    text = (TUTORIALS / f"{name}.md").read_text()
    return "".join(re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def paste(name: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-eu", "-c", script(name)]
    log = folder / "log.txt"
    with log.open("w") as out:
        variables = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=folder, env=variables, stdout=out, stderr=out, check=False
        )
    assert done.returncode == 0, f"{name}.md:\n{log.read_text()[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_the_documents_exist(page: Path) -> None:
    for words in commands(page):
        try:
            build_parser(words).parse_args(words)
        except SystemExit as end:
            assert not end.code, f"{page.name}: stmem {' '.join(words)}"


@pytest.mark.parametrize("page", ["README.md", "docs/getting_started.md", "docs/deployment.md"])
def test_what_apt_is_asked_for_is_what_make_misses_without_it(page: str) -> None:
    asked = re.findall(r"sudo apt install (.*?)[\"\n]", (ROOT / "Makefile").read_text())
    [line] = re.findall(r"^    sudo apt install (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    option, *packages = line.split()
    assert option == "-y"  # else the next pasted line is taken for the answer to its question
    assert [" ".join(name for name in packages if name != "git")] == asked


def test_each_tutorial_is_tried() -> None:
    assert {page.stem for page in TUTORIALS.glob("*.md")} == {*WITH_A_NODE, *WITHOUT}


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT)
def test_a_tutorial_without_a_node_can_be_pasted(name: str, tmp_path: Path) -> None:
    paste(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_A_NODE)
def test_a_tutorial_with_a_node_can_be_pasted(name: str, tmp_path: Path, ros_domain: None) -> None:
    paste(name, tmp_path)
    assert (tmp_path / "outputs" / "metadata.yaml").is_file()
