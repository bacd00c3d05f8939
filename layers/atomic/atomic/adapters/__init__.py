"""The ports, fulfilled: each folder is one way to do it and knows none of the others."""
