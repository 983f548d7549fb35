"""Compile the C side into ``quorate.native._native``. setup.py runs this through cffi.

``QUORATE_CFLAGS`` adds compiler flags; CI sets ``-Werror`` there, which is not for a user's newer compiler.
"""

import os
import shlex
from pathlib import Path

from cffi import FFI

SOURCES = (
    "memory",
    "scalar",
    "group",
    "secp256k1",
    "ed25519",
    "keys",
    "digest",
    "rows",
    "base_ot",
    "trees",
    "extension",
    "multiplication",
    "lane",
)

header = Path("native/include/quorate.h").read_text()
declarations = "\n".join(line for line in header.splitlines() if not line.startswith("#"))

builder = FFI()
builder.cdef(declarations)
builder.set_source(
    "quorate.native._native",
    '#include "quorate.h"',
    sources=[f"native/src/{name}.c" for name in SOURCES],
    include_dirs=["native/include"],
    depends=["native/include/quorate.h", *map(str, Path("native/src").glob("*.h"))],
    libraries=["dl", "pthread"] if os.name == "posix" and os.uname().sysname == "Linux" else [],
    extra_compile_args=[
        "-O3",
        "-std=c11",
        "-D_DEFAULT_SOURCE",
        "-Wall",
        "-Wextra",
        *shlex.split(os.environ.get("QUORATE_CFLAGS", "")),
    ],
)
