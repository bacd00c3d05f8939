"""What every runtime is made of, whichever store it has."""
