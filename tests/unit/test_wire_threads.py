"""Messages are decoded in worker threads, for the first time in several at once."""

from __future__ import annotations

import os
import subprocess
import sys

SCRIPT = """
import sys, threading, msgspec
from quorate.wire.codec import Message, decode, encode, prepare

sys.setswitchinterval(1e-6)
kinds = []
for number in range(1000):
    part = msgspec.defstruct(f"Part{number}", [(f"a{k}", bytes) for k in range(12)], bases=(Message,))
    kinds.append((part, msgspec.defstruct(f"Whole{number}", [(f"p{k}", part) for k in range(5)], bases=(Message,))))
prepare()
for part, whole in kinds:
    one = part(**{f"a{k}": b"x" for k in range(12)})
    data = encode(whole(**{f"p{k}": one for k in range(5)}))
    start = threading.Barrier(4)
    threads = [threading.Thread(target=lambda: (start.wait(), decode(whole, data))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_a_type_that_threads_decode_for_the_first_time_does_not_crash_the_process() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
