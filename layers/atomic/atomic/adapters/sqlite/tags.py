"""The tags of runs: an entry for each tag of a root, newest last, in the order in which lists are read.

Runs without tags write nothing here. An entry is written and deleted together with its root.
"""

from typing import Final

from atomic.domain.steps import Step

# The names of the columns differ from those of steps, with which they are joined.
TAGS: Final = """
CREATE TABLE tags (
    owner TEXT NOT NULL,
    tag TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    step_id TEXT NOT NULL,
    PRIMARY KEY (owner, tag, at_ms, step_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_of_step ON tags (step_id);
"""
INSERT_TAG: Final = "INSERT INTO tags (owner, tag, at_ms, step_id) VALUES (?, ?, ?, ?)"
DELETE_TAGS: Final = "DELETE FROM tags WHERE step_id = ?"
# A tag of more runs is not read through when another filter drops most of them.
READ_THROUGH_MAX: Final = 20_000
HAS_MANY_RUNS: Final = f"""
SELECT 1 FROM tags WHERE owner = :client_id AND tag = :tag_0 LIMIT 1 OFFSET {READ_THROUGH_MAX}
"""  # noqa: S608 - a number of this module

TagRow = tuple[str, str, int, str]


def tag_rows(step: Step) -> list[TagRow]:
    """The entries of a root; none for other steps."""
    if not (step.spec.tags and step.is_root):
        return []
    return [(step.spec.client_id, tag, step.created_at_ms, step.id) for tag in step.spec.tags]


def has_tag(number: int) -> str:
    """The condition that a row of steps has the tag of this number among the bindings."""
    return (
        f"EXISTS (SELECT 1 FROM tags WHERE owner = :client_id AND tag = :tag_{number} "  # noqa: S608 - a number
        "AND at_ms = steps.created_at_ms AND step_id = steps.id)"
    )
