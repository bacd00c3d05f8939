"""Log lines of the functions: JSON, with what `log_policy` allows."""

import logging

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from atomic.entrypoints.aws.settings import LogSettings
from atomic.entrypoints.log_policy import AllowedLines


class InvocationFailed(Exception):
    """An invocation failed; the log says why. Lambda logs the texts of exceptions, so this one has none."""


def log_as_json(settings: LogSettings) -> None:
    """Log every record of the process as one JSON line; Lambda's own handler would write whole errors."""
    handler = AllowedLines()
    handler.setFormatter(LambdaPowertoolsFormatter(service=settings.service, stage=settings.stage))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
