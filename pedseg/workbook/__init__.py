"""What people see: figures, viewer, lessons, notebooks, the report."""
