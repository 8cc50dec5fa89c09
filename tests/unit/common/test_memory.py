"""Memory of a process: the peak stays when memory is freed, and is its own, not that of who started it."""

import json
import resource
import subprocess
import sys

import pytest

from common.memory import peak_resident_bytes, resident_bytes

MIB = 2**20
HELD = 300 * MIB
CHILD = """
import json, resource
from common.memory import peak_resident_bytes, resident_bytes, rusage_peak_bytes
quiet = peak_resident_bytes()
block = bytearray(b"x") * (200 * 2**20)
del block
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([quiet, peak_resident_bytes(), resident_bytes(), rusage_peak_bytes(usage)]))
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells on Linux alone")


def test_the_peak_outlives_the_memory_and_is_the_processes_own():
    held = bytearray(b"x") * HELD
    result = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    quiet, peak, now, inherited = json.loads(result.stdout)
    assert quiet < 100 * MIB  # though the process that started it holds three times as much
    assert peak == pytest.approx(quiet + 200 * MIB, rel=0.05)
    assert now < quiet + 20 * MIB
    assert inherited >= max(peak, len(held))  # what ru_maxrss would have said


def test_both_agree_with_the_system_where_nothing_was_inherited():
    """ru_maxrss never falls below either."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    now, peak = resident_bytes(), peak_resident_bytes()
    assert now is not None
    assert 0 < now <= peak
    assert peak <= most * 1.05
