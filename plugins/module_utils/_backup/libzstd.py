# Copyright (c) 2026 Upkeep maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zstd by the shared library that nearly every Linux has, for package managers need it: faster than the program.

Only the interface that zstd has promised to keep since 1.4 is used.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any, Callable

NAME = "libzstd"
_FILES = ("libzstd.so.1", "libzstd.1.dylib")
_OUT_BYTES = 1 << 17
_WINDOW_LOG_MAX = 100  # ZSTD_d_windowLogMax
_MAX_WINDOW_LOG = 27


class ZstdError(ValueError):
    """A frame cannot be unfolded; the text is what the library says."""


class _Buffer(ctypes.Structure):
    """``ZSTD_inBuffer`` and ``ZSTD_outBuffer``, which look the same."""

    _fields_ = (("place", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t))


def load() -> Any | None:
    """Return the library; ``None`` when it is not here, or too old."""
    for file in _FILES:
        try:
            library = ctypes.CDLL(file)
            library.ZSTD_createDStream.restype = ctypes.c_void_p
            library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
            library.ZSTD_DCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
            library.ZSTD_DCtx_setParameter.restype = ctypes.c_size_t
            library.ZSTD_decompressStream.argtypes = [
                ctypes.c_void_p,
                ctypes.POINTER(_Buffer),
                ctypes.POINTER(_Buffer),
            ]
            library.ZSTD_decompressStream.restype = ctypes.c_size_t
            library.ZSTD_isError.argtypes = [ctypes.c_size_t]
            library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
            library.ZSTD_getErrorName.restype = ctypes.c_char_p
        except (OSError, AttributeError):
            continue
        return library
    return None


class Decoder:
    """Unfolds one frame piece by piece. Raises ``MemoryError`` where there is no memory for it."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._stream = library.ZSTD_createDStream()
        if not self._stream:
            raise MemoryError("zstd")
        weakref.finalize(self, library.ZSTD_freeDStream, self._stream)
        self._require(library.ZSTD_DCtx_setParameter(self._stream, _WINDOW_LOG_MAX, _MAX_WINDOW_LOG))
        self._out = ctypes.create_string_buffer(_OUT_BYTES)

    def decompress(self, data: bytes) -> bytes:
        """Return what *data* unfolds to: all of it, so it is for the caller to hand over little at a time.

        Raises ``ZstdError``.
        """
        source = _Buffer(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), 0)
        given = []
        while True:
            before = source.at
            target = _Buffer(ctypes.cast(self._out, ctypes.c_void_p), _OUT_BYTES, 0)
            answer = self._library.ZSTD_decompressStream(self._stream, ctypes.byref(target), ctypes.byref(source))
            self._require(answer)
            if target.at:
                given.append(ctypes.string_at(self._out, target.at))
            # A full piece may leave more inside even when no input is left.
            if target.at < _OUT_BYTES and (source.at == source.size or source.at == before):
                return given[0] if len(given) == 1 else b"".join(given)

    def _require(self, answer: int) -> None:
        if self._library.ZSTD_isError(answer):
            raise ZstdError(self._library.ZSTD_getErrorName(answer).decode("ascii", "replace"))


def decoder_of(library: Any) -> Callable[[bytes], bytes]:
    """Return what unfolds one frame, piece by piece."""
    return Decoder(library).decompress
