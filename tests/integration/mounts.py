"""Run a command among real mounts that are sick: `mounts.py SPEC COMMAND...`, as root.

SPEC is a JSON list of {"kind": ..., "at": folder, ...}:

hung      a FUSE server that never says a word; whoever asks waits, and can be killed
stuck     one that greets and then keeps every request; whoever asks sleeps in the kernel and not even SIGKILL helps
tmpfs     memory, with "options"
readonly  an ext4 whose kernel turned it read-only after an error, in the file "image"
dead      an ext4 that was shut down as after the loss of its disk, in the file "image"

All of it is in a mount namespace of its own, so nobody else sees it and nothing of it is left when the command ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import struct
import subprocess
import sys
import threading
from typing import Any

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
FUSE_INIT = 26
EXT4_IOC_SHUTDOWN = 0x8004587D
NOT_EVEN_THE_LOG = 2

kernel = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    if getattr(kernel, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, at: str, kind: str, flags: int = 0, options: str = "") -> None:
    call("mount", source.encode(), at.encode(), kind.encode(), flags, options.encode())


def mount_fuse(at: str, greets: bool) -> int:
    """Mount a file system whose server is this process, and return the server's end."""
    server = os.open("/dev/fuse", os.O_RDWR)
    mount("dead-disk", at, "fuse.mergerfs", 0, f"fd={server},rootmode=40000,user_id=0,group_id=0,allow_other")
    if greets:
        threading.Thread(target=greet, args=(server,), daemon=True).start()
    return server


def greet(server: int) -> None:
    """Answer the first request, so that the kernel sends the others, and take those without an answer."""
    while True:
        try:
            request = os.read(server, 1 << 17)
        except OSError:
            return  # unmounted
        _, operation, unique = struct.unpack_from("<IIQ", request)
        if operation == FUSE_INIT:
            _, _, read_ahead, _ = struct.unpack_from("<IIII", request, 40)
            body = struct.pack("<IIIIHHIIHHI", 7, 31, read_ahead, 0, 12, 9, 1 << 17, 1, 32, 0, 0) + bytes(28)
            os.write(server, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)


def mount_ext4(image: str, at: str) -> None:
    with open(image, "wb") as stream:
        stream.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, at], check=True)


def shut_down(at: str) -> None:
    descriptor = os.open(at, os.O_RDONLY)
    fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NOT_EVEN_THE_LOG))
    os.close(descriptor)


def set_up(sick: dict[str, Any]) -> None:
    kind, at = sick["kind"], sick["at"]
    os.makedirs(at, exist_ok=True)
    if kind in ("hung", "stuck"):
        mount_fuse(at, greets=kind == "stuck")
    elif kind == "tmpfs":
        mount("memory", at, "tmpfs", 0, sick["options"])
    elif kind == "readonly":
        mount_ext4(sick["image"], at)
        subprocess.run(["mount", "-o", "remount,abort", at], check=True)
    elif kind == "dead":
        mount_ext4(sick["image"], at)
        shut_down(at)
    else:
        sys.exit(f"unknown kind {kind!r}")
    for name, size in sick.get("files", {}).items():
        with open(os.path.join(at, name), "wb") as stream:
            stream.write(bytes(size))


def main() -> None:
    call("unshare", CLONE_NEWNS)
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    for sick in json.loads(sys.argv[1]):
        set_up(sick)
    # When we end, the servers end with us, and the kernel lets go of everybody who still waits for them.
    sys.exit(subprocess.run(sys.argv[2:], check=False).returncode)


if __name__ == "__main__":
    main()
