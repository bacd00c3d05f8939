"""OpenTelemetry: the spans of a server. Only a server with `--otel` imports these modules."""
