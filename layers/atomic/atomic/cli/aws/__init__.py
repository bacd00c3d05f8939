"""What `atomic doctor` checks of an AWS account, and of a stack in it."""
