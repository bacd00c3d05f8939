"""The entry point of the custom resource that makes the demo's client; it only creates the handler."""

import os

from atomic.entrypoints.aws.demo_client import DemoClientFunction

handler = DemoClientFunction(os.environ)
