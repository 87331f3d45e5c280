"""DICOM: CT series, RTSTRUCT and SEG in and out, and de-identification."""
