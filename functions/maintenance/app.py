"""The entry point of the maintenance function; it only creates the handler."""

import os

from atomic.entrypoints.aws.maintenance import MaintenanceFunction

handler = MaintenanceFunction(os.environ)
