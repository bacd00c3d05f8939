"""The HTTP API, written once: functions from `ApiRequest` to `ApiResponse` that every runtime calls."""
