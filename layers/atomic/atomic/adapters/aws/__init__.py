"""Atomic in an AWS account: rows and clients in DynamoDB, hints in SQS and EventBridge Scheduler."""
