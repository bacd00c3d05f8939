"""The invoker function: composition only."""

import os

from atomic.entrypoints.aws.invoker import InvokerFunction

handler = InvokerFunction(os.environ)
