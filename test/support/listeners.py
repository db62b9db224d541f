"""Which addresses processes listen on."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from pathlib import Path

LISTENS = "0A"  # state of a socket in /proc/net/tcp


def open_addresses(process: Path) -> set[str]:
    """``address:port`` of the TCP sockets of a process that others than this machine may reach.

    Args:
        process: its folder in ``/proc``.
    """
    own, found = set(), set()
    for link in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            own.add(link.readlink().name.removeprefix("socket:[").removesuffix("]"))
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            address, port = local.split(":")
            words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
            ip = ipaddress.ip_address(b"".join(words))
            ip = getattr(ip, "ipv4_mapped", None) or ip
            if state == LISTENS and rest[5] in own and not ip.is_loopback:
                found.add(f"{ip}:{int(port, 16)}")
    return found
