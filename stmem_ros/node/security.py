"""Whether SROS2 is asked for. ROS takes a misspelt variable for "off", and says nothing."""

from __future__ import annotations

import os
from enum import Enum

ENABLE = "ROS_SECURITY_ENABLE"
STRATEGY = "ROS_SECURITY_STRATEGY"
KEYSTORE = "ROS_SECURITY_KEYSTORE"
ENCLAVE = "ROS_SECURITY_ENCLAVE_OVERRIDE"
DOCUMENT = "docs/security.md"


class SecurityError(ValueError):
    """Security is asked for and cannot be had; one line says why."""


class Strategy(Enum):
    """What a process does that finds no keys: it ends, or goes on unprotected."""

    ENFORCE = "Enforce"
    PERMISSIVE = "Permissive"


UNPROTECTED = (
    f"security is asked for, but {STRATEGY} is not {Strategy.ENFORCE.value}: a process whose "
    f"enclave or keys are missing goes on unprotected ({DOCUMENT})"
)


def asked_security() -> Strategy | None:
    """The strategy of the security that the environment asks for; None: it asks for none.

    Raises:
        SecurityError: a variable has a text that ROS would take for another one, or the place of
            the keys is missing.
    """
    if _choice(ENABLE, ("true", "false"), "false") == "false":
        return None
    permissive = Strategy.PERMISSIVE.value
    strategy = Strategy(_choice(STRATEGY, [s.value for s in Strategy], permissive))
    if not os.environ.get(KEYSTORE):
        raise SecurityError(
            f"{ENABLE} is true, but {KEYSTORE} is not set; it must name the keystore ({DOCUMENT})"
        )
    return strategy


def _choice(name: str, allowed: list[str] | tuple[str, ...], default: str) -> str:
    """A variable's value, ``default`` where it is not set or empty, as ROS has it."""
    value = os.environ.get(name) or default
    if value not in allowed:
        raise SecurityError(
            f"{name} is {value!r}; it must be {' or '.join(allowed)}, and ROS takes any other text "
            f"for {default} without a word ({DOCUMENT})"
        )
    return value
