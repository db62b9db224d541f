"""Configuration files: what is read as what, and what is refused by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from stmem_ros.configuration import ConfigurationError, Range, check_values, read_configuration


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Wheel:
    radius: Annotated[float, Range(gt=0.0, le=2.0)]
    driven: bool = False


@dataclass(frozen=True)
class Car:
    name: str
    doors: Annotated[int, Range(ge=1)] = 4
    speed: float = 1.0
    size: tuple[float, float] = (4.0, 2.0)
    tags: tuple[str, ...] = ()
    fuel: Literal["petrol", "none"] = "petrol"
    colour: Colour = Colour.RED
    spare: Wheel = field(default_factory=lambda: Wheel(0.3))
    wheels: tuple[Wheel, ...] = ()
    axles: dict[str, Wheel] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name == "none":
            raise ValueError("name is 'none'")


# Each list holds the one before it ten times.
BOMB = "a0: &a0 x\n" + "\n".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)
)


def read(folder: Path, text: str) -> Car:
    path = folder / "car.yaml"
    path.write_text(text)
    return read_configuration(path, Car, "car")


def test_values_become_what_the_fields_say(tmp_path: Path) -> None:
    car = read(
        tmp_path,
        """
        name: "1"
        speed: 3
        size: [5, 1.5e0]
        tags: [a, b]
        fuel: none
        colour: Blue
        spare: {radius: 1e-1}
        wheels: [{radius: 1, driven: true}]
        axles: {rear: {radius: 0.5}}
        notes: {anything: [1, {a: null}]}
        """,
    )
    assert car == Car(
        name="1",
        speed=3.0,
        size=(5.0, 1.5),
        tags=("a", "b"),
        fuel="none",
        colour=Colour.BLUE,
        spare=Wheel(0.1),
        wheels=(Wheel(1.0, True),),
        axles={"rear": Wheel(0.5)},
        notes={"anything": [1, {"a": None}]},
    )
    assert type(car.speed) is float and type(car.size[0]) is float


def test_an_empty_section_is_one_of_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "name: a\nnotes:\naxles:") == Car("a")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: 3", "name is 3"),
        ("name: a\ndoors: 2.0", "doors is 2.0"),
        ("name: a\ndoors: 0", "doors is 0"),
        ("name: a\ndoors: yes", "doors is True"),
        ("name: a\ndoors: '3'", "doors is '3'"),
        ("name: a\ndoors:", "doors is None"),
        ("name: a\nspeed: true", "speed is True"),
        ("name: a\nspeed: .nan", "speed is nan"),
        (f"name: a\nspeed: 1{'0' * 400}", "speed is 1000"),
        ("name: a\nsize: [.inf, 1]", "size is [inf, 1]"),
        ("name: a\nsize: [1]", "size is [1]"),
        ("name: a\nsize: ab", "size is 'ab'"),
        ("name: a\ntags: ab", "tags is 'ab'"),
        ("name: a\nfuel: diesel", "fuel is 'diesel'; allowed: petrol, none"),
        ("name: a\ncolour: green", "colour is 'green'; allowed: red, blue"),
        ("name: a\nspare: {radius: 3}", "spare.radius is 3"),
        ("name: a\nspare: {}", "spare.radius"),
        ("name: a\nspare: 3", "spare is 3"),
        ("name: a\nspare: {radius: 1, driven: 1}", "spare.driven is 1"),
        ("name: a\nwheels: [{radius: 1}, {radius: 0}]", "wheels[1].radius is 0"),
        ("name: a\nwheels: {radius: 1}", "wheels is {'radius': 1}"),
        ("name: a\naxles: {rear: {radios: 1}}", "axles.rear.radios"),
        ("name: a\naxles: {no: {radius: 1}}", "axles is False"),
        ("name: a\ndors: 1", "dors is unknown; allowed: name, doors"),
        ("name: none", "name is 'none'"),
        ("doors: 1", "name is missing"),
        ("- 1", "[1]"),
        ("name: [", "cannot be read"),
        ("[" * 50_000, "cannot be read"),
        ("name: a" + 300_000 * " ", "300007 characters"),
        (BOMB, "e+08 values; allowed: at most 100000"),
        ("name: &a [*a]", "values"),
        ("name: a\ndoors: 1\nname: b", "key name stands in it twice, in lines 1 and 3"),
        ("name: a\nspare: {radius: 1, radius: 2}", "key radius stands in it twice, in lines 2"),
        ('"two\\nlines": 1', r"'two\nlines' is unknown"),
        (f"{'long' * 100}: 1", "longlong"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"car {tmp_path / 'car.yaml'}") and "\n" not in message
    assert named in message


def test_a_value_may_stand_for_several(tmp_path: Path) -> None:
    car = read(tmp_path, "name: a\nspare: &wheel {radius: 1}\nwheels: [*wheel, *wheel]")
    assert car.wheels == (car.spare, car.spare)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"car {tmp_path / 'nothing.yaml'}"):
        read_configuration(tmp_path / "nothing.yaml", Car, "car")


def test_values_of_a_dataclass_made_in_python_are_checked_alike() -> None:
    check_values(Wheel(1))
    with pytest.raises(ConfigurationError, match=r"radius is 3\.0"):
        check_values(Wheel(3.0))
