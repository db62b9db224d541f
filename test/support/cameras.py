"""Cameras of all distortion models."""

from stmem_ros.geometry.camera import CameraModel

K = ((400.0, 0.0, 320.0), (0.0, 410.0, 240.0), (0.0, 0.0, 1.0))
CAMERAS = {
    "rectified": CameraModel(640, 480, K),
    "plumb_bob": CameraModel(640, 480, K, (-0.25, 0.06, 0.0005, -0.0003, 0.0)),
    "rational_polynomial": CameraModel(
        640, 480, K, (0.4, 0.05, 1e-4, 1e-4, 0.002, 0.75, 0.15, 0.01), "rational_polynomial"
    ),
    "equidistant": CameraModel(640, 480, K, (0.02, -0.005, 0.001, 0.0), "equidistant"),
}
