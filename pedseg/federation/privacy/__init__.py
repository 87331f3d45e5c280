"""What leaves a hospital, what it can tell, and what can be done about it: ledger, clipping and noise, masks."""
