# %% [markdown]
# # 00 · Start here
#
# *5 minutes · for everyone: students, clinicians, lecturers, researchers*
#
# **You will be able to**
# - see whether this machine can run the workbook,
# - answer a question and have it checked,
# - choose the door that is yours.

# %% [markdown]
# ## What this workbook is about
#
# A child with a tumor near the kidney is often treated with radiation. Before that, somebody has to draw the outline
# of every organ that should be spared, slice by slice, on a CT scan. A trained network can draw these **contours** in
# seconds. But a network has to learn from examples, and few hospitals treat many such children. One hospital's
# network knows only that hospital: its scanner, its contrast agent, the ages it sees. Send it next door and it
# stumbles.
#
# The obvious cure is to put all scans into one place. For children's scans that is seldom allowed, and for good
# reasons. **Federated learning** turns the trip around: the network travels, the scans stay. Each hospital teaches
# the network for a while and sends back only what the network has learned; a coordinator averages the lessons and
# sends the network out again.
#
# In this workbook you do all of it yourself, on one laptop: you read the scans, train a network alone, watch it
# stumble, build the averaging with your own hands, and run a federation.
#
# > **What the children are.** No real child's scan is in this workbook. Two invented hospitals, *Polder* and *Neckar*,
# > treat computer-made children. They show the *pattern* that real studies report: the stumble next door, the
# > recovery by federation. They cannot show its true size, and nothing here is fit for treating anyone.

# %% [markdown]
# ## Does this machine do?
#
# Run the next two cells: click on one and press **Shift + Enter**. Every notebook begins like this. The first line
# that appears says which versions run here; if you ever ask for help, send it along.

# %%
from pedseg.workbook import figures, lesson

lesson.setup()

# %%
lesson.check_environment()

# %% [markdown]
# Lines with `[ok]` need nothing. A line with `[!!]` says what to do. And one more test: can you see a picture? Below
# is a slice through one of the children, with the outlines of the organs that this workbook is about.

# %%
from pedseg.datasets.reading import load_image, load_labels

polder, neckar = lesson.samples()
child = polder.cases[0]
ct, organs = load_image(child), load_labels(polder, child).voxels

# %%
z = figures.fullest(organs)
picture = figures.slice_figure(ct, index=z, truth=organs, names=True)
figures.show(picture, "An axial CT slice of the upper abdomen, organs outlined.")

# %% [markdown]
# ## How questions work
#
# Now and then a cell has a line that ends in `...`. Replace the dots by your answer and run the cell. The check says
# *Not yet*, *Not quite* (and what is wrong), or *Right*. Nothing breaks if you skip it: the cells below go on with
# the right value. When you have tried, open **Answer** beneath.
#
# Here is one to practice on. The list of organs is called `ORGANS`. How many are there?

# %% exercise
from pedseg.organs import ORGANS

number_of_organs = len(ORGANS)  # answer
lesson.check("number of organs", number_of_organs)

# %% [markdown] answer
# These are the *organs at risk* of the upper abdomen. Nine of them are evaluated in the study that this workbook
# re-enacts: liver, spleen, pancreas, both kidneys, both lungs, the heart, and stomach and bowel together.

# %% [markdown]
# ## Choose your door
#
# | door | what you want | your way |
# |---|---|---|
# | **student** | to understand it by doing | all, in order |
# | **clinician** | to look at contours and failures, no code | 01, 02, then 09; 08 for the reasons |
# | **lecturer** | 90 minutes in front of a class | 01, 05, 07, 09 |
# | **researcher** | to take it to real hospitals | 03, 04, 06, 07, 08, then the README |
#
# | notebook | you will | minutes |
# |---|---|---|
# | [01 Reading a child's CT](01_reading_a_childs_ct.ipynb) | read gray values, windows, planes, spacing | 25 |
# | [02 Growing bodies](02_growing_bodies.ipynb) | see organs grow, and small ones vanish on a grid | 25 |
# | [03 From scan to tensor](03_from_scan_to_tensor.ipynb) | prepare a scan for a network | 35 |
# | [04 How good is a contour?](04_how_good_is_a_contour.ipynb) | compute distances, and see through two traps | 40 |
# | [05 One hospital learns alone](05_one_hospital_learns_alone.ipynb) | train a network and send it next door | 40 |
# | [06 Averaging by hand](06_averaging_by_hand.ipynb) | write federated averaging in ten lines | 40 |
# | [07 A federation of centers](07_a_federation_of_centers.ipynb) | run a federation and read its table | 45 |
# | [08 On their side, one kidney](08_on_their_side_one_kidney.ipynb) | turn a child, find causes and failures | 40 |
# | [09 The reading room](09_reading_room.ipynb) | look at contours, child by child | 20 |
#
# Chapters 10 to 13 are still to be written.

# %%
lesson.finish()
