"""The entry point of the API function; it creates the handler before the first event."""

import os

from atomic.entrypoints.aws.api import ApiFunction

handler = ApiFunction(os.environ)
handler.runtime.warm()
