"""Federated learning between hospitals: configuration, Flower apps, strategies, and transports of their messages."""
