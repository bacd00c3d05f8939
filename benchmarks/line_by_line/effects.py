"""What the steps do. It is the same for every system, and its lines are not counted."""

from typing import Any


def insert(name: str) -> dict[str, Any]:
    """Insert a user; the row."""
    return {"id": 1, "name": name}


def send(user: dict[str, Any]) -> str:
    """Send a mail; its id."""
    return f"mail to {user['name']}"


def track(user: dict[str, Any]) -> None:
    """Tell the analytics service."""
    print("created", user["name"])
