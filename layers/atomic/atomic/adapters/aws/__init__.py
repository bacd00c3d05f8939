"""Atomic in an AWS account: rows and clients in DynamoDB, wake-ups in SQS and EventBridge Scheduler."""
