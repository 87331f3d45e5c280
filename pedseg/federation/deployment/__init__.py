"""Deployment on Flower's own programs: simulation on Ray, and a SuperLink with SuperNodes between hospitals."""
