"""Settings that let large images through, and what is said of each middleware."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest

from stmem_ros.online import middleware
from stmem_ros.online.environment import private_environment
from stmem_ros.online.middleware import fast_dds_profile, large_image_environment, transport
from stmem_ros.resources import resource

FAST_DDS_2, FAST_DDS_3 = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
PROFILES = (FAST_DDS_3, "CYCLONEDDS_URI")


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    for name in (*PROFILES, FAST_DDS_2, "ZENOH_SESSION_CONFIG_URI", "ZENOH_CONFIG_OVERRIDE"):
        monkeypatch.delenv(name, raising=False)


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(large_image_environment()) == set(PROFILES)
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/mine.xml")
    monkeypatch.setenv("CYCLONEDDS_URI", "")
    assert large_image_environment() == {
        "FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml",
        "CYCLONEDDS_URI": "",
    }


@pytest.mark.parametrize(
    ("distribution", "name"),
    [
        ("humble", FAST_DDS_2),
        ("jazzy", FAST_DDS_2),
        ("kilted", FAST_DDS_3),
        ("rolling", FAST_DDS_3),
    ],
)
def test_fast_dds_3_has_another_name_for_its_profile(
    monkeypatch: pytest.MonkeyPatch, distribution: str, name: str
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    assert set(large_image_environment()) == {name, "CYCLONEDDS_URI"}


def test_without_a_distribution_the_name_is_that_which_the_installed_fast_dds_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ROS_DISTRO")
    libraries = [*(Path(sys.prefix) / "lib").glob("libfast[rd][td][ps]*.so")]
    if not libraries:
        pytest.skip("no Fast DDS in this environment")
    assert fast_dds_profile().encode() in libraries[0].read_bytes()


def test_commands_of_this_machine_use_the_loopback_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "FASTDDS_DEFAULT_PROFILES_FILE"
    network = str(resource("config", "fastdds_large_images.xml"))
    for given in (None, network):  # nobody's, and that which docs/middleware.md says to export
        if given is not None:
            monkeypatch.setenv(name, given)
        assert Path(private_environment(tmp_path)[name]).name == "fastdds_this_machine.xml"
    monkeypatch.setenv(name, "/mine.xml")
    assert private_environment(tmp_path)[name] == "/mine.xml"


def test_the_profiles_of_fast_dds_differ_in_what_they_listen_on_alone() -> None:
    network, this_machine = (
        re.sub(r"<!--.*?-->|\s+", "", resource("config", name).read_text(), flags=re.S)
        for name in ("fastdds_large_images.xml", "fastdds_this_machine.xml")
    )
    listens = "<interfaceWhiteList><address>127.0.0.1</address></interfaceWhiteList>"
    same = this_machine.replace(listens, "").replace("loopback", "network")
    assert listens in this_machine
    assert same.replace("this_machine", "large_images") == network


def test_fast_dds_without_a_profile_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = transport("rmw_fastrtps_cpp")
    assert found.ok and "fastdds_large_images.xml" in found.advice
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/mine.xml")
    found = transport("rmw_fastrtps_cpp")
    assert "/mine.xml" in found.text and not found.advice


@pytest.mark.parametrize(("granted", "is_told"), [(212992, True), (2**24, False)])
def test_cyclone_dds_is_told_of_a_small_receive_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, granted: int, is_told: bool
) -> None:
    (tmp_path / "rmem_max").write_text(f"{granted}\n")
    monkeypatch.setattr(middleware, "GRANTED", tmp_path / "rmem_max")
    found = transport("rmw_cyclonedds_cpp")
    assert found.ok and "cyclonedds_large_images.xml" in found.advice
    assert ("net.core.rmem_max" in found.advice) == is_told


def test_zenoh_needs_a_router(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as router:
        address = router.getsockname()
        assert transport("rmw_zenoh_cpp", address).ok
    found = transport("rmw_zenoh_cpp", address)
    assert not found.ok and "rmw_zenohd" in found.advice
    monkeypatch.setenv("ZENOH_CONFIG_OVERRIDE", 'mode="client"')
    assert transport("rmw_zenoh_cpp", address).ok


def test_another_middleware_is_left_to_the_measurement() -> None:
    found = transport("rmw_of_tomorrow")
    assert found.ok and not found.advice
