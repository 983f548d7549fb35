"""Everything else is in pyproject.toml; the C extension needs this hook."""

from setuptools import setup

setup(cffi_modules=["native/build.py:builder"])
