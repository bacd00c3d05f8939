"""The shared language: identities, canonical JSON, wire models, problem types, signatures. Pure."""
