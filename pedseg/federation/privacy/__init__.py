"""Privacy of a federation: disclosure log, differential privacy (clipping and noise), secure aggregation."""
