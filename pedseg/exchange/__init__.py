"""The way in and out of the workbook: DICOM and public data sets in, contours for planning systems out."""
