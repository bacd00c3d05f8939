"""The site: `make site`. Sphinx reads the Markdown by MyST; every warning is an error there."""

import re
from typing import Any

project = "Atomic"
author = project_copyright = "The Atomic maintainers"
extensions = ["myst_parser"]
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
exclude_patterns = ["openapi.json"]
html_theme = "furo"
html_title = "Atomic"
html_static_path = ["_static"]
html_css_files = ["site.css"]
# Nothing is fetched from elsewhere: furo takes the fonts of the reader's own system.
# There is no link to the source yet, since the project has no public address.
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "default"


def _stand_alone(_: Any, docname: str, source: list[str]) -> None:
    """A decision is reached from their index. In the sidebar, 200 of them made each page slow to build."""
    if re.match(r"decisions/\d", docname):
        source[0] = "---\norphan: true\n---\n" + source[0]


def setup(app: Any) -> None:
    """Change the sources as they are read."""
    app.connect("source-read", _stand_alone)
