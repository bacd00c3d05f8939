"""Clients: who they are, what opens them, what they may call and use."""
