"""Data sets on disk: nnU-Net v2 raw with `cases.tsv`, and TotalSegmentator; reading, checking and writing."""
