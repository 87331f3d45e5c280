"""Measurements beside named peers, both in one run."""
