"""One hospital: from scans to a plan, a network, its training and its predictions."""
