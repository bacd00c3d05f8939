"""The use cases, and the ports: the interfaces to stores, queues, endpoints and the clock."""
