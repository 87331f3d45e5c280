"""Synthetic children, the CT and MR scanners that image them, and the virtual centers that treat them."""
