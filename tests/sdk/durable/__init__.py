"""What AWS's conformance suite for durable execution checks, by meaning, in `def` and in `async def`.

`table` says which case covers which number of that suite. `flows` runs workflows that are written once.
"""
