"""The reading room: an interactive viewer of slices, contours, 3-D surfaces and segmentation failures."""
