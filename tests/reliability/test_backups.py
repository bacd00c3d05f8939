"""Backups amid kill -9, restored elsewhere. `make backups` makes more of them."""

import random
from collections.abc import Sequence
from pathlib import Path

from reliability import backups

BACKUPS = 3


def test_every_promise_of_before_a_backup_is_kept_by_the_restored_server(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    campaign = backups.run(tmp_path, backups=BACKUPS, seed=seed)
    print(campaign)
    assert campaign.problems == []
    assert len(campaign.restarts_s) == BACKUPS
    assert campaign.kept > 0


def test_a_copy_of_the_files_alone_is_found_to_lack_runs(tmp_path: Path) -> None:
    """What the campaign says of `cp` without SQLite's log: so its checks can fail."""

    def without_the_log(data_dir: Path, target: Path) -> Sequence[str]:
        files = " ".join(str(data_dir / name) for name in ("atomic.db", "clients.db", "key-pepper"))
        return ["sh", "-c", f"mkdir -p {target} && cp {files} {target}"]

    campaign = backups.run(tmp_path, backups=5, seed=1, command=without_the_log)
    assert any("is lost" in problem for problem in campaign.problems), campaign
