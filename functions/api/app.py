"""The api function: composition only."""

import os

from atomic.entrypoints.aws.api import ApiFunction

handler = ApiFunction(os.environ)
