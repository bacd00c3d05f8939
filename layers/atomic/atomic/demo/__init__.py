"""User creation as plain HTTP endpoints, and a demo that shows every call of it: `atomic demo`.

`app` is the application (nothing but the standard library: copy it), `storage` does things once, and
`signed` checks signatures; `run`, `servers` and `timeline` are the demo.
"""
