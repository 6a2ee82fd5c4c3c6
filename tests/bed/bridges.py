"""Network bridges of Linux by ioctl, as a slim machine has no `ip`: one for our own engine, and the end of all."""

from __future__ import annotations

import fcntl
import ipaddress
import random
import socket
import struct
from pathlib import Path

from .errors import BedError

_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCGIFADDR, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8915, 0x8916, 0x891C
_SIOCBRADDBR, _SIOCBRDELBR = 0x89A0, 0x89A1
_UP = 0x1
PREFIX = "upkbed"


def free_network() -> int:
    """A number n such that nothing on this machine is routed to 10.n.0.0/16."""
    taken = set()
    for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]:
        destination, mask = (socket.ntohl(int(line.split()[column], 16)) for column in (1, 7))
        if destination:
            taken.add(ipaddress.ip_network((destination, mask.bit_count())))
    free = [n for n in range(64, 250) if not any(net.overlaps(ipaddress.ip_network(f"10.{n}.0.0/16")) for net in taken)]
    if not free:
        raise BedError("every network of ours (10.64 to 10.249) is in use on this machine: stop what uses them")
    return random.choice(free)


def add(number: int) -> str:
    """Make and raise the bridge for 10.number.0.0/20; its name."""
    name = f"{PREFIX}{number}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCBRADDBR, _name(name))
        fcntl.ioctl(control, _SIOCSIFADDR, _name(name) + _address(f"10.{number}.0.1"))
        fcntl.ioctl(control, _SIOCSIFNETMASK, _name(name) + _address("255.255.240.0"))
        _raise(control, name, up=True)
    return name


def remove(number: int) -> None:
    """Remove the bridge of that number, and those that an engine has made in its network."""
    network = ipaddress.ip_network(f"10.{number}.0.0/16")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for _index, name in socket.if_nameindex():
            ours = name == f"{PREFIX}{number}" or (name.startswith("br-") and _address_of(control, name) in network)
            if ours:
                try:
                    _raise(control, name, up=False)
                    fcntl.ioctl(control, _SIOCBRDELBR, _name(name))
                except OSError:
                    continue  # gone by itself meanwhile


def numbers() -> list[int]:
    """The numbers of the bridges that an engine of ours has, or has left."""
    names = (name for _index, name in socket.if_nameindex())
    return [int(name[len(PREFIX) :]) for name in names if name.startswith(PREFIX) and name[len(PREFIX) :].isdigit()]


def _name(name: str) -> bytes:
    return struct.pack("16s", name.encode())


def _address(text: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def _address_of(control: socket.socket, name: str) -> ipaddress.IPv4Address:
    try:
        answer = fcntl.ioctl(control, _SIOCGIFADDR, struct.pack("40s", name.encode()))
    except OSError:
        return ipaddress.IPv4Address(0)  # it has none
    return ipaddress.IPv4Address(answer[20:24])


def _raise(control: socket.socket, name: str, *, up: bool) -> None:
    answer = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("40s", name.encode()))
    (flags,) = struct.unpack_from("H", answer, 16)
    wanted = flags | _UP if up else flags & ~_UP
    fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), wanted))
