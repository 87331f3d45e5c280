"""The reading room: slices, surfaces and failures for people who look and do not program."""
