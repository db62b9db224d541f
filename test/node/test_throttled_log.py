"""What is logged of faults that come with every image."""

from __future__ import annotations

from stmem_ros.node.throttled_log import PERIOD, Fault, ThrottledLog


def test_each_camera_and_kind_is_logged_once_a_period_whatever_the_text() -> None:
    lines: list[str] = []
    now = 0.0
    log = ThrottledLog(lines.append, lambda: now)
    for size in range(1000):
        for camera in ("left", "right"):
            log(camera, Fault.IMAGE, f"{camera}: image of {size} bytes is cut off")
    log("left", Fault.NETWORK, "left: out of memory")
    assert [line.split()[0] for line in lines] == ["left:", "right:", "left:"]
    now = PERIOD
    log("left", Fault.IMAGE, "left: again")
    assert "left: again" in lines[-1] and "999" in lines[-1]
    now = 2 * PERIOD
    log("left", Fault.IMAGE, "left: once more")
    assert lines[-1] == "left: once more"
