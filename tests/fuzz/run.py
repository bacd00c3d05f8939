"""Fuzz every target for that many seconds: python -m fuzz.run SECONDS [TARGET …]. `make fuzz` runs it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["atomic"]):
    from fuzz.targets import SEEDS, TARGETS


def main() -> int:
    """Fuzz the targets one after the other, each in a new process; return how many found a fault."""
    seconds, names = int(sys.argv[1]), sys.argv[2:] or list(TARGETS)
    failed = 0
    for name in names:
        print(f"--- {name}, {seconds} s", flush=True)
        command = [sys.executable, "-m", "fuzz.run", "--target", name, str(seconds)]
        failed += subprocess.call(command) != 0
    print(f"{len(names) - failed} of {len(names)} targets found nothing")
    return failed


def fuzz(name: str, seconds: str) -> None:
    """Fuzz one target; does not return."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[name]):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"]
        atheris.Setup(
            [sys.argv[0], *options, "-verbosity=0", "-print_final_stats=1", corpus], TARGETS[name]
        )
        atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--target":
        fuzz(*sys.argv[2:])
    sys.exit(main())
