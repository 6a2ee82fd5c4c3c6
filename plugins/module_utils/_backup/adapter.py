# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libraries that are not everywhere: faster ones for gzip and zlib, and those for zstd and lz4.

None is needed. Without ``isal`` or ``zlib_ng`` the standard library unfolds gzip. zstd is unfolded by Python's own
module (3.14), by ``zstandard``, by the shared library that most systems have, or by the program; lz4 by ``lz4`` or the
program. ``AVAILABLE`` says which Python libraries there are.
"""

from __future__ import annotations

import importlib
import os
import shutil
import zlib
from collections.abc import Sequence
from typing import Any, Callable, Protocol

from ansible_collections.cadence.upkeep.plugins.module_utils._backup import libzstd


class Deflater(Protocol):
    """The interface of ``zlib.decompressobj``."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = 0) -> bytes: ...


# Unfolds what it is given at once; the caller keeps the pieces small.
Decode = Callable[[bytes], bytes]


def _library(*names: str) -> tuple[str, Any]:
    """Return name and module of the first of *names* that can be imported; an empty name when none can."""
    for name in names:
        try:
            return name, importlib.import_module(name)
        except ImportError:
            continue  # the next does the same, slower
    return "", None


_zlib_name, _fast_zlib = _library("isal.isal_zlib", "zlib_ng.zlib_ng")
_zstd_name, _zstd = _library("compression.zstd", "zstandard")
_lz4_name, _lz4 = _library("lz4.frame")

# Named when the first frame comes: to look for it costs a millisecond.
_shared: list[Any] = []

AVAILABLE: tuple[str, ...] = tuple(filter(None, (_zlib_name, _zstd_name, _lz4_name)))

_zlib: Any = _fast_zlib or zlib
DEFLATE_ERRORS: tuple[type[Exception], ...] = tuple({zlib.error, getattr(_zlib, "error", zlib.error)})


def new_gunzip() -> Deflater:
    """Return what unfolds one member of a gzip stream, its check values included."""
    unfolder: Deflater = _zlib.decompressobj(wbits=31)
    return unfolder


def new_inflate() -> Deflater:
    """Return what unfolds one zlib stream, its check value included."""
    unfolder: Deflater = _zlib.decompressobj(wbits=15)
    return unfolder


def _zstd_decoder() -> tuple[Decode, type[Exception]] | None:
    if _zstd_name == "compression.zstd":
        return _zstd.ZstdDecompressor().decompress, _zstd.ZstdError
    if _zstd_name == "zstandard":
        return _zstd.ZstdDecompressor(max_window_size=1 << 27).decompressobj().decompress, _zstd.ZstdError
    if not _shared:
        _shared.append(libzstd.load())
    return (libzstd.decoder_of(_shared[0]), libzstd.ZstdError) if _shared[0] is not None else None


def _lz4_decoder() -> tuple[Decode, type[Exception]] | None:
    return (_lz4.LZ4FrameDecompressor().decompress, RuntimeError) if _lz4 is not None else None


def frame_decoder(name: str) -> tuple[Decode, type[Exception]] | None:
    """Return what unfolds one frame of ``zstd`` or ``lz4`` piece by piece, and the error that it raises for a bad one.

    ``None`` when no library for it is here.
    """
    return _zstd_decoder() if name == "zstd" else _lz4_decoder()


# What a Debian, Red Hat, Alpine or Homebrew package puts it into, beside what PATH has.
_PLACES: Sequence[str] = ("/usr/bin", "/bin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/sbin", "/usr/local/sbin")


def program(name: str) -> str | None:
    """Return the path of the program *name*; ``None`` when it is not here."""
    path = os.pathsep.join(filter(None, (os.environ.get("PATH", ""), *_PLACES)))
    return shutil.which(name, path=path)
