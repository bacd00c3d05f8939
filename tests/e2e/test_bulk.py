"""kill -9 in the middle of a bulk: it goes on, and redrives each run of its cause once, and no other.

`python benchmarks/bulk.py` does it with 100,000 failed runs.
"""

from pathlib import Path

import bulk


def test_a_killed_bulk_goes_on_and_touches_no_other_cause(tmp_path: Path) -> None:
    bulk.play(tmp_path, failed=1_500, handled=30).check(failed=1_500, handled=30)
