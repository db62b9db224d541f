#!/bin/bash
# Sets up ROS and this package, then runs the command.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /ws/install/setup.bash
exec "$@"
