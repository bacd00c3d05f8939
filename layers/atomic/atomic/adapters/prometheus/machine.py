"""What the process takes of its machine, and how full the disk of its data is, at the moment of a scrape.

The collector of the library reads /proc/stat for the moment of the boot and shows nothing without it. The
unit of systemd hides that file (`ProcSubset=pid`). Here, only files of this process are read.
"""

import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

_PROC: Final = Path("/proc/self")


class Machine:
    """Memory, processor time and files of this process, and the disk of the data directory."""

    def __init__(self, data_dir: Path, proc: Path = _PROC) -> None:
        self._data_dir = data_dir
        self._proc = proc
        self._began_s = time.time()

    def collect(self) -> Iterator[Metric]:
        """The current numbers. What the machine does not tell is left out."""
        yield GaugeMetricFamily(
            "process_start_time_seconds", "When counting began, since 1970.", self._began_s
        )
        yield CounterMetricFamily(
            "process_cpu_seconds", "Processor time of the process.", time.process_time()
        )
        # Only Linux has these files.
        with suppress(OSError):
            pages = int((self._proc / "statm").read_text().split()[1])
            yield GaugeMetricFamily(
                "process_resident_memory_bytes", "Memory of the process.", pages * resource.getpagesize()
            )
            yield GaugeMetricFamily(
                "process_open_fds", "Open file descriptors.", len(os.listdir(self._proc / "fd"))
            )
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield GaugeMetricFamily("process_max_fds", "How many file descriptors may be open.", limit)
        with suppress(OSError):
            disk = shutil.disk_usage(self._data_dir)
            yield GaugeMetricFamily(
                "atomic_data_disk_free_bytes", "Free on the disk of the data directory.", disk.free
            )
            yield GaugeMetricFamily(
                "atomic_data_disk_size_bytes", "Size of the disk of the data directory.", disk.total
            )
