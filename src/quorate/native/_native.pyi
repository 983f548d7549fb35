"""What cffi compiles from native/include/quorate.h; the header is where it is described."""

from typing import Any

ffi: Any
lib: Any
