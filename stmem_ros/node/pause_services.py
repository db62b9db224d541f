"""Services by which cameras pause and go on: ``~/pause`` for all, ``~/<camera>/pause`` for one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rclpy.node import Node
from std_srvs.srv import SetBool

from stmem_ros.pipeline import Pipeline


class PauseServices:
    """std_srvs/SetBool: true pauses, false goes on.

    Args:
        cameras: names; that without a name is paused with all alone.
    """

    def __init__(self, node: Node, pipeline: Pipeline, cameras: Sequence[str]) -> None:
        self._node = node
        self._pipeline = pipeline
        groups = {"~/pause": tuple(cameras)} | {f"~/{name}/pause": (name,) for name in cameras}
        groups.pop("~//pause", None)
        self._services = [
            node.create_service(SetBool, name, partial(self._answer, group))
            for name, group in groups.items()
        ]

    def destroy(self) -> None:
        """Take the services away; an executor may hold them a while longer, but no pipeline."""
        for service in self._services:
            self._node.destroy_service(service)
        del self._pipeline

    def _answer(
        self, cameras: tuple[str, ...], request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        for camera in cameras:
            self._pipeline.pause(camera, request.data)
        what = ", ".join(filter(None, cameras)) or "the camera"
        response.success = True
        response.message = f"{what}: {'paused' if request.data else 'goes on'}"
        self._node.get_logger().info(response.message)
        return response
