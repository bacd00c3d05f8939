"""The entry point of the invoker function; it only creates the handler."""

import os

from atomic.entrypoints.aws.invoker import InvokerFunction

handler = InvokerFunction(os.environ)
