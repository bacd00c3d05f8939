"""The entry point of the invoker function; it creates the handler before the first event."""

import os

from atomic.entrypoints.aws.init_phase import init_phase

with init_phase():
    from atomic.entrypoints.aws.invoker import InvokerFunction

    handler = InvokerFunction(os.environ)
    handler.runtime.warm()
