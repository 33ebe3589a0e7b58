"""What a tile frees stays with the process."""

import platform
import subprocess
import sys

import pytest

ROUNDS = """
import resource, torch
from mcdrop.engine.footprint import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def tile():
    a, b = (torch.ones(2**21) for _ in range(2))
    a + b

keep_freed_memory()
for _ in range(8):  # the first ones find their places
    tile()
before = faults()
for _ in range(4):
    tile()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep what they keep")
def test_pages_that_one_tile_has_freed_are_there_for_the_next() -> None:
    done = subprocess.run([sys.executable, "-c", ROUNDS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 6144  # what one tile writes to
