"""Choices of the command line: repairs of a CT at its reading and formats of an export; nothing heavy is imported."""

CT_REPAIRS = {
    "duplicates": "slices that are there twice, with the same voxels, are taken once",
    "gaps": "missing slices are interpolated; organs drawn beside them count as not annotated",
    "gantry-tilt": "slices of a tilted gantry are shifted to stand upright",
}
REPAIRS = {
    **CT_REPAIRS,
    "overlaps": "where organs overlap by more than 1 mL, the smaller one keeps the voxels",
    "references": "contours lie where their millimeters say, whatever series and slices they name",
}
FORMATS = ("rtstruct", "seg", "nnunet", "totalsegmentator")
