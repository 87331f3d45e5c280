"""A federation on Flower's own programs: Ray on one machine or many, a SuperLink with SuperNodes between hospitals."""
