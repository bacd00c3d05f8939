"""The parts of every runtime that do not depend on its store."""
