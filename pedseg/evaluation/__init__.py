"""What was learned: the study, its statistics and its failures."""
