"""Data sets on disk: nnU-Net v2 raw with `cases.tsv`, and TotalSegmentator; reading, checking and writing.

Import from where a thing is defined: `cases` (Case, DataSet), `reading` (read_dataset, check_dataset), `loading`
(load_image, load_labels), `writing` (write_case, write_index).
"""
