"""Where scans come from: synthetic children, virtual centers, data sets on disk."""
