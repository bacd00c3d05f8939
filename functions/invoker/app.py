"""The entry point of the invoker function; it creates the handler before the first event."""

import os

from atomic.entrypoints.aws.invoker import InvokerFunction

handler = InvokerFunction(os.environ)
handler.runtime.warm()
