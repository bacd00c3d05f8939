"""What `import atomic.sdk` costs a fresh interpreter, and which modules cost the most.

Usage: python benchmarks/sdk_import.py [--runs 30] [--top 12]
"""

import argparse
import re
import statistics
import subprocess
import sys

TIMED = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import atomic.sdk
print((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)
"""


def once() -> tuple[float, float]:
    """Wall and CPU milliseconds of one import."""
    printed = subprocess.run([sys.executable, "-c", TIMED], capture_output=True, text=True, check=True)
    wall_ms, cpu_ms = map(float, printed.stdout.split())
    return wall_ms, cpu_ms


def costliest(top: int) -> list[tuple[float, str]]:
    """The modules that take the most milliseconds themselves, without their own imports."""
    command = [sys.executable, "-X", "importtime", "-c", "import atomic.sdk"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    rows = re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", told)
    return sorted(((int(own_us) / 1000, name) for own_us, name in rows), reverse=True)[:top]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="What `import atomic.sdk` costs.")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--top", type=int, default=12)
    options = parser.parse_args()
    once()  # so that the bytecode is cached
    runs = [once() for _ in range(options.runs)]
    for name, values in zip(("wall", "CPU"), zip(*runs, strict=True), strict=True):
        print(f"{name:>5}  min {min(values):.0f} ms  median {statistics.median(values):.0f} ms")
    for own_ms, module in costliest(options.top):
        print(f"{own_ms:8.1f} ms  {module}")


if __name__ == "__main__":
    main()
