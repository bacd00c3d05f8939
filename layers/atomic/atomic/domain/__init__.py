"""The state machine: steps, transitions, the retry schedule, the reading of answers; clients. Pure."""
