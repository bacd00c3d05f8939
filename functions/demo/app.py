"""The entry point of the demo; it only creates the handler."""

import os
from pathlib import Path
from tempfile import gettempdir

from atomic.demo.on_lambda import DemoFunction

handler = DemoFunction(os.environ, Path(gettempdir(), "demo"))
