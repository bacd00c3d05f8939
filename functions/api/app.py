"""The entry point of the API function; it creates the handler before the first event."""

import os

from atomic.entrypoints.aws.init_phase import init_phase

with init_phase():
    from atomic.entrypoints.aws.api import ApiFunction

    handler = ApiFunction(os.environ)
    handler.runtime.warm()
