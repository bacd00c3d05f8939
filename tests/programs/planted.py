SHARED = {}
SDK = {}
Patch = tuple


def plant_here(n):
    pass
