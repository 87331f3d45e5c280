"""Import scans and contours from any source (DICOM, NIfTI, public data sets) into the data set of a center."""
