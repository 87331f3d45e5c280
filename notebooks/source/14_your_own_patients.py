# %% [markdown]
# # 14 · Your own patients
#
# *25 minutes · clinicians, researchers, students · the computer works for about one of them*
#
# **You will be able to**
# - read a folder from the archive, and say why some folders must be refused,
# - import scans into a data set in which nobody can be identified,
# - let a network draw, and write contours that a planning system can open.
#
# You need no patient: there is an invented one, Paula, in a folder like one from an archive. You can put the name of
# your own folder in its place at any time. Nothing leaves this computer.

# %%
from pedseg.dicom import ct_series, deidentification, dicom_files
from pedseg.dicom import example_patient, exporting, rtstruct
from pedseg.datasets.loading import load_image, load_labels
from pedseg.workbook import figures, lesson

lesson.setup()
dataset = lesson.samples()[0]
child = dataset.cases[0]
truth = load_labels(dataset, child)
archive = lesson.runs() / "archive"
folder = example_patient.write_example_patient(archive, load_image(child), truth)
print(folder.name)

# %% [markdown]
# ## What comes from an archive
#
# One scan is a folder of many files, one for each slice, with other files among them.

# %%
from collections import Counter

files, broken = dicom_files.find_dicom_files(folder)
print(Counter(file.kind for file in files))
series = ct_series.group_series(files)
print(*ct_series.series_table(series), sep="\n")
ct = ct_series.read_series(series[0])
print(ct.scan.shape, ct.scan.spacing_mm, ct.notes)

# %%
from pedseg.scan import to_ras

shown, index = to_ras(ct.scan), figures.fullest(truth.voxels)
figures.show(
    figures.slice_figure(shown, index=index, title="Paula"),
    alt="An axial slice of Paula's abdomen, read from DICOM files; her right is on the left.",
)

# %% [markdown]
# ## Slices are missing
#
# Transfers can fail. Below, five slices are at these positions in mm; two slices between them were lost. A reader that
# uses only the first and the last position spaces the remaining slices evenly. Common readers do so, without a warning.
#
# **Question.** What spacing of the slices, in mm, does such a reader assume?

# %% exercise
import numpy as np

places_mm = np.array([0.0, 4.0, 8.0, 20.0, 24.0])
believed_mm = (places_mm[-1] - places_mm[0]) / (len(places_mm) - 1)  # answer
believed_mm = lesson.check("false spacing", believed_mm, places_mm=places_mm)

# %% [markdown] answer
# 6 mm instead of 4: every organ would become half as long again, and the slices above the gap would be in the wrong
# place. Nothing in the picture looks wrong.

# %% [markdown]
# Here a scan with a gap is refused, with the place of the gap and a remedy. Nothing is repaired unless you ask for it
# by name, and then it is recorded with the scan.

# %%
from pedseg.errors import PedsegInputError

torn = ct_series.CtSeries(series[0].uid, series[0].files[:20] + series[0].files[21:])
try:
    ct_series.read_series(torn)
except PedsegInputError as error:
    print(error.problems[0].code, error.problems[0].problem, error.problems[0].remedy, sep="\n")
print(ct_series.read_series(torn, repairs=["gaps"]).repairs)

# %% [markdown]
# ## Into a data set, without her name
#
# Paula's name is in her files and in the name of the folder. `import_scans` does not remove names: it copies only what
# is on a short list, and leaves everything else behind. On the command line this is `pedseg import FOLDER --to DATASET
# --center Here`.

# %%
from pedseg.importing.import_scans import import_scans

here, key = lesson.runs() / "own", lesson.runs() / "keys" / "Here.case-key"
for case in import_scans(folder, here / "Dataset903_Here", center="Here", key=key):
    print(case.case, case.organs, *case.messages, sep="\n  ")
left_behind = [word for word in deidentification.identifiers(ct.header) if word.isalpha()]
print("\nwords that stay behind:", *sorted(left_behind)[:12])

# %% [markdown]
# `Leber`, `Lt Kidney`, `Herz`: names are looked up in a table of exact spellings and never guessed, because Kidney_L
# and Kidney_R differ by one letter. Names that are not in the table are listed for you.
#
# The name of the case is a hash of Paula's patient number **and of a key** that stays at the hospital. Why the key? The
# number has seven digits, and a computer can try a million hashes per second.
#
# **Question.** Without the key, how many seconds does it take to try all numbers, and find hers?

# %% exercise
digits, per_second = 7, 1e6
seconds = 10**digits / per_second  # answer
seconds = lesson.check("seconds to guess", seconds, digits=digits, per_second=per_second)

# %% [markdown] answer
# Ten seconds. A hash alone hides nothing if all possible values can be tried. Birth dates are found even faster.

# %% [markdown]
# **Question.** Planning systems create empty contours of all organs from a template, before anybody draws. Paula's file
# has an empty contour called *KIDNEY_RIGHT*. Is her kidney `absent`, or is it `unknown`?

# %% exercise
kidney = "unknown"  # answer
kidney = lesson.check("empty contour", kidney)

# %% [markdown] answer
# Unknown: nobody said that it was removed. In training, `absent` penalizes every voxel that is drawn as this organ, and
# `unknown` does not count. If you know that empty means removed, say so with `--empty-means-absent`.

# %% [markdown]
# ## From a network to the planning system
#
# The federated network of the recorded study draws on Paula's CT. Then the contours are written as an RTSTRUCT, read
# back as another program would read them, and compared organ by organ (DSC of at least 0.999). Only then do you get the
# file. On the command line this is `pedseg predict FOLDER --out contours.dcm
# --model data_samples/results/study/seed0_federated.safetensors`; without `--model`, another network draws (below).
#
# A network will draw a liver in a thigh if you let it. So the scan is first compared with the training scans (region,
# lungs, spine, size, age), and afterward the contours with anatomy. What is not plausible is refused. With
# `--even-if-implausible` it is written, and every ROI says so.

# %%
from pedseg.evaluation.trained_models import find_weights
from pedseg.importing import predict_scans
from pedseg.learning.weights import load_network

network, plan = load_network(find_weights(lesson.study(), "federated"))
given = network, plan, ct.scan, folder, ct.header
predicted, doubts = predict_scans.predict_plausible(*given, even_if_implausible=True)
file = here / "contours.dcm"
messages = exporting.export(predicted, file, kind="rtstruct", ct=ct, description=doubts)
back = rtstruct.read_rtstruct(file, ct)
expected = exporting.masks_on_ct(predicted, ct, folder)
same = [name for name, mask in expected.items() if (mask == back.masks[name]).all()]
print(len(same), "of", len(back.masks), "organs come back voxel by voxel")
print(*messages, doubts, sep="\n")

# %%
contours = {"truth": truth.voxels, "prediction": to_ras(predicted).voxels}
figures.show(
    figures.slice_figure(shown, index=index, **contours),
    alt="The same slice with true contours, solid, and those of the federated network, dashed.",
)

# %% [markdown]
# ## From invented people to real ones
#
# Paula is like the children that the federated network has learned from. Your patients are not. So there is a second
# network, *robust*: it has learned on invented people of all ages, builds, and ways of scanning. On the command line,
# `pedseg predict` takes it where you name no other. Both met people of four kinds that neither had seen.

# %%
from pedseg.evaluation.cross_site import by_organ, matrix
from pedseg.evaluation.results import read_rows, rows_file

rows = read_rows(rows_file(lesson.recorded("robust")))
names = {"Varied alone": "robust"}
matrix(rows).rename(names).T

# %%
by_organ(rows).rename(columns=names).xs("dsc", axis="columns", level=1)

# %% [markdown]
# On one real CT, of an adult, large organs transferred and small ones did not ([what was
# measured](../docs/results.md), *From invented to real*). The liver was close to the labels of another program. Spleen,
# kidneys, and aorta were found; the pancreas was mostly missed. **Do not use either on a patient.** Scans of
# public collections can be scored as they are laid out: `pedseg score --model WEIGHTS --data FOLDER`.

# %% [markdown]
# ## Half a pixel
#
# Voxels are small boxes. A contour around them must run along their edges, but some programs draw it through the
# centers of the outermost voxels. Take an organ that is a square of 4 by 4 voxels in a slice, perhaps an adrenal gland.
#
# **Question.** What fraction of its area is left inside a contour through the centers?

# %% exercise
edge = 4
share = ((edge - 1) / edge) ** 2  # answer
share = lesson.check("area through the centers", share, edge=edge)

# %% [markdown] answer
# 9/16: nearly half the organ is lost before the dose is even planned. In a liver, nobody would notice.

# %% [markdown]
# ## The same with buttons
#
# The room of chapter [[reading_room]], opened on her folder. Her RTSTRUCT is there as *hospital*; nobody calls it true.
#
# - **Compare.** Choose *federated* behind B: the network draws, if the scan is plausible. The table tells how far the
#   two differ, and *Differences* steps through the places.
# - **Correct.** In the tab *Correct*, press *draw*. Every stroke is kept; undo and redo as often as you like.
# - **Write.** In the tab *Files*, choose *corrected* and RTSTRUCT. The file is read back before you get it. It says
#   who drew it and that nobody has approved it.
# - **Open.** There, too, you open your own folders. `python3 run.py viewer --dicom FOLDER` opens the room
#   without a notebook.

# %% hidden
from pedseg.viewer import engines

engines.reading_room([], lesson.study(), dicom=folder)

# %% [markdown]
# ## To think about
#
# - The network was trained on synthetic children. What must happen before its contours may be used in a treatment?
# - Which of your scans would be refused today? Who would have to fix them?
# - There is a two-year-old with one kidney, in a small town. Is a data set without names anonymous?

# %%
lesson.finish()
