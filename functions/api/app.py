"""The entry point of the API function; it only creates the handler."""

import os

from atomic.entrypoints.aws.api import ApiFunction

handler = ApiFunction(os.environ)
