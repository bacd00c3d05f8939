"""The HTTP API, written once: plain functions from `ApiRequest` to `ApiResponse` that every home calls."""
