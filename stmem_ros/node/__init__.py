"""The ROS node: messages to frames of the pipeline, and its results to messages."""
