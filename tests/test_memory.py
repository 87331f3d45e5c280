"""What a process holds: asked of the C library itself, in a process of its own."""

import subprocess
import sys

import numpy as np

from pedseg import memory

PROGRAM = """
import ctypes, sys
import numpy as np
from pedseg import memory

class Info(ctypes.Structure):  # struct mallinfo2
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b uordblks fordblks c".split()]

def mapped_bytes():
    c = ctypes.CDLL("libc.so.6")
    c.mallinfo2.restype = Info
    return c.mallinfo2().hblkhd

if sys.argv[1] == "low":
    memory.limit_heap()
array = np.ones(30 * 2**20, np.uint8)
del array  # from now on glibc keeps arrays up to this size in its heap, unless told otherwise
before = mapped_bytes()
kept = np.ones(8 * 2**20, np.uint8)
print(mapped_bytes() - before)
"""


def mapped(mode):
    return int(subprocess.run([sys.executable, "-c", PROGRAM, mode], check=True, capture_output=True, text=True).stdout)


def test_large_arrays_get_memory_of_their_own_that_goes_back():
    if sys.platform == "linux":
        assert mapped("low") >= 8 * 2**20
        assert mapped("default") == 0
    else:
        memory.limit_heap()  # does nothing and does not fail


def test_the_peak_covers_what_was_held():
    held = np.ones(64 * 2**20, np.uint8)
    assert 64 < memory.peak_mib() < 100_000
    del held
    memory.release_memory()
    assert memory.peak_mib() > 64


def test_the_peak_is_ones_own_and_not_that_of_the_program_that_started_it():
    child = "from pedseg import memory; print(memory.peak_mib())"
    parent = f"b = bytearray(300 * 2**20); import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    output = subprocess.run([sys.executable, "-c", parent], check=True, capture_output=True, text=True).stdout
    assert 1 < float(output) < 200
    array = np.ones(64 * 2**20, np.uint8)
    assert memory.peak_mib() > array.nbytes / 2**20
