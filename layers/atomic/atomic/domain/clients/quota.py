"""What a client may use: one number for each limit, and None where there is none.

Records, views and the command line take the limits from here; requests and documents have a member for
each. A limit whose type is `int` counts whole things. `application.admission` holds clients to them.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Final, get_args, get_type_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a client may use; None is no limit."""

    starts_per_second: float | None = None
    live_steps: int | None = None
    stored_bytes: int | None = field(default=None, metadata={"help": "Bytes of payloads and responses."})


@dataclass(frozen=True, slots=True)
class Limit:
    """How a limit is written: as a whole number or not, and what its name does not say."""

    is_whole: bool
    help: str


NO_QUOTA: Final = Quota()
_TYPES: Final = get_type_hints(Quota)
LIMITS: Final[dict[str, Limit]] = {
    each.name: Limit(int in get_args(_TYPES[each.name]), each.metadata.get("help", ""))
    for each in fields(Quota)
}


def member_of(limit: str) -> str:
    """The member of a document that has the limit."""
    first, *rest = limit.split("_")
    return first + "".join(map(str.capitalize, rest))


def words_of(limit: str) -> str:
    """The limit as people read it."""
    return limit.replace("_", " ")


def quota_view(quota: Quota) -> dict[str, float | None]:
    """The members of a document that say what a client may use."""
    return {member_of(name): value for name, value in asdict(quota).items()}


def check_quota(quota: Quota) -> None:
    """Raise ValueError for limits that cannot be held."""
    for name, value in asdict(quota).items():
        if value is None or (0 < value < float("inf") and (value >= 1 or not LIMITS[name].is_whole)):
            continue
        least = "1 or more" if LIMITS[name].is_whole else "more than 0"
        raise ValueError(f"{words_of(name)} must be {least}; leave it out for no limit")
