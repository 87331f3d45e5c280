"""The site: the workbook as static pages, and the exhibit, where anyone looks at contours without installing."""
