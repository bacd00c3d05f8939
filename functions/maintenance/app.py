"""The maintenance function: composition only."""

import os

from atomic.entrypoints.aws.maintenance import MaintenanceFunction

handler = MaintenanceFunction(os.environ)
