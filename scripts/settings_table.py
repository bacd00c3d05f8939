"""Writes the table of the server's settings into docs/operations.md from the settings in the code.

python scripts/settings_table.py
"""

from pathlib import Path
from typing import Final

from atomic.entrypoints.embedded.settings import ServerSettings
from atomic.entrypoints.settings import Setting
from marked import replaced

PAGE: Final = Path(__file__).parents[1] / "docs" / "operations.md"
BEGIN: Final = "<!-- The table of settings: `make settings` writes it. -->\n"
END: Final = "<!-- The end of the table. -->\n"


def row(setting: Setting) -> str:
    """A setting as a row of the table."""
    default = setting.field.default
    shown = (
        "" if default in ((), None) else str(default).lower() if setting.kind is bool else f"`{default}`"
    )
    what = setting.field.description or ""
    cells = (f"`{setting.flag}`", f"`{setting.variable}`", shown, setting.allowed, what)
    return f"| {' | '.join(cells)} |\n"


def table() -> str:
    """All settings of the server."""
    rows = "".join(row(setting) for setting in ServerSettings.settings())
    return "\n| flag | variable | default | may be | what |\n|---|---|---|---|---|\n" + rows + "\n"


def with_table(page: str) -> str:
    """The page with an up-to-date table. Raises ValueError if the page lacks the markers around it."""
    return replaced(page, BEGIN, END, table())


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
