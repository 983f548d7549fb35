"""Settings that hold for every test."""

from hypothesis import settings

# The same examples on every run, however slow the machine.
settings.register_profile("quorate", deadline=None, derandomize=True)
settings.load_profile("quorate")
