"""Endpoints that are Lambda functions: invoked by Lambda's own API, with requests that are signed."""
