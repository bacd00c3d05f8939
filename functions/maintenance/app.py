"""The entry point of the maintenance function; it only creates the handler."""

import os

from atomic.entrypoints.aws.init_phase import init_phase

with init_phase():
    from atomic.entrypoints.aws.maintenance import MaintenanceFunction

    handler = MaintenanceFunction(os.environ)
