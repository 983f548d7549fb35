"""One coroutine per protocol; each reads like its specification."""
