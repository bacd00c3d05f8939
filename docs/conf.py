"""The site: `make site`. Sphinx reads the Markdown by MyST; every warning is an error there."""

project = "Atomic"
author = "Atomic"
extensions = ["myst_parser"]
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
exclude_patterns = ["openapi.json"]
html_theme = "furo"
html_title = "Atomic"
# Nothing is fetched from elsewhere: furo takes the fonts of the reader's own system.
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "default"
