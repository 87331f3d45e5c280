"""The words by which a user asks for repairs and formats; nothing heavy here, so that every command may list them."""

REPAIRS = {
    "doubles": "slices that are there twice, with the same voxels, are taken once",
    "gaps": "missing slices are interpolated between their neighbors",
    "tilt": "slices of a tilted gantry are shifted to stand upright",
}  # of a CT
ALL_REPAIRS = {**REPAIRS, "overlaps": "where organs overlap by more than 1 mL, the smaller one keeps the voxels"}
FORMATS = ("rtstruct", "seg", "nnunet", "totalsegmentator")
