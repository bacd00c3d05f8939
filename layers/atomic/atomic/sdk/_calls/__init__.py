"""What a handler calls: steps, waits, values and batches, and how it is replayed."""
