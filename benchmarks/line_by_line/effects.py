"""What the steps do, the same for everybody: no part of the count."""

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
