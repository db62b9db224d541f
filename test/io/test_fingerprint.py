"""The number that tells whether an image is the one before."""

import numpy as np

from stmem_ros.io.fingerprint import fingerprint


def test_equal_bytes_have_one_fingerprint_and_sensor_noise_has_not() -> None:
    random = np.random.default_rng(0)
    image = random.integers(100, 103, (360, 480, 3), np.uint8)
    noisy = image + random.integers(0, 2, image.shape, np.uint8)
    assert fingerprint(image.tobytes()) == fingerprint(bytearray(image.tobytes()))
    assert fingerprint(image.tobytes()) != fingerprint(noisy.tobytes())
    assert fingerprint(b"") != fingerprint(b"\0")


def test_a_change_of_one_column_is_seen() -> None:
    """A sample in steps of whole rows would look at the same column of each."""
    image = np.zeros((1024, 2048), np.uint8)
    before = fingerprint(image.tobytes())
    image[:, 1000:1010] = 255
    assert fingerprint(image.tobytes()) != before
