"""The table of what the node publishes, against the node."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy
from support.ros import Peer

from stmem_ros.classes import CAMVID
from stmem_ros.costmap.rules import default_rules
from stmem_ros.io.output_topics import NODE, output_topics


def test_the_node_publishes_the_topics_of_the_table(peer: Peer, start_node) -> None:
    start_node()
    peer.wait_until_active()
    table = output_topics(default_rules(CAMVID).layers)

    def published() -> dict[str, tuple[str, bool]]:
        found = {}
        for topic in table:
            for info in peer.node.get_publishers_info_by_topic(topic.name):
                if info.node_name == NODE.strip("/"):
                    latched = info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
                    found[topic.name] = (info.topic_type, latched)
        return found

    peer.wait(lambda: len(published()) == len(table), "all topics to be discovered")
    assert published() == {t.name: (t.type, t.latched) for t in table}
