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
# A child with a tumor near the kidney may need radiation. Before treatment, someone has to outline every organ that
# should be spared, slice by slice, on a CT scan. A trained network can draw these **contours** in seconds. But a
# network learns from examples, and few hospitals treat many such children. One hospital's network knows only that
# hospital: its scanner, its contrast agent, the ages that it treats. At the hospital next door it does worse.
#
# The obvious solution is to put all scans in one place. For children's scans that is rarely allowed, for good reasons.
# **Federated learning** does it the other way around: the network travels, and the scans stay. Each hospital trains the
# network for a while and sends back only its weights. A coordinator averages the weights and sends the network out
# again.
#
# In this workbook you do all of it yourself, on one laptop: you read the scans, train a network alone, test it next
# door, write the averaging, and run a federation. The workbook re-enacts two published studies: 19 organs at risk in
# two hospitals ([arXiv:2605.06820](https://arxiv.org/abs/2605.06820)), and CT and MR hospitals that learn together
# ([FedGIN, arXiv:2508.05137](https://arxiv.org/abs/2508.05137)).
#
# > **What the children are.** No real child's scan is in this workbook. Two invented hospitals, *Polder* and *Neckar*,
# > treat synthetic children. They show the *pattern* that real studies report: a network does worse next door, and
# > federation wins the loss back. They cannot show its true size, and nothing here is meant for treating anyone.

# %% [markdown]
# ## Can this machine run the workbook?
#
# Run the next two cells: click on one and press **Shift + Enter**. Every chapter begins like this. The first line that
# appears lists the versions of the software; if you ever ask for help, include it.

# %%
from pedseg.workbook import figures, lesson

lesson.setup()

# %%
lesson.check_environment()

# %% [markdown]
# A line with `[ok]` is fine. A line with `[!!]` says what to do. One more test: can you see a picture? The next cell
# shows a slice through one of the children, with the organs outlined that this workbook is about.

# %%
from pedseg.datasets.loading import load_image, load_labels

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
# Some cells have a line that ends in `...`. Replace the dots with your answer and run the cell. The check says *Still
# open*, *Not quite* (and what is wrong), or *Right*. Nothing breaks if you skip a question: the cells below continue
# with the right value.
#
# From chapter [[reading_a_childs_ct]] on, there are also **functions to write**. The first line and the description are
# given; you write the body in place of the dots. The check runs your function on inputs that you do not see. If one
# goes wrong, it says which one and what was expected. Each new version of your function gets you another hint. If you
# want to read the checks, they are in the folder `notebooks/exercises`. Each chapter ends with a short **quiz**.

# %% [markdown] solutions
# After you have tried, open **Answer** below the cell.

# %% [markdown]
# Here is one to practice on. The list of organs is called `ORGANS`. How many are there?

# %% exercise
from pedseg.organs import ORGANS

number_of_organs = len(ORGANS)  # answer
lesson.check("number of organs", number_of_organs)

# %% [markdown] answer
# These are the *organs at risk* when a tumor of the upper abdomen is irradiated. The study that this workbook re-enacts
# evaluates nine of them: liver, spleen, pancreas, both kidneys, both lungs, the heart, and stomach and bowel together.

# %% [markdown]
# ## Choose your door
#
# | door | what you want | your way |
# |---|---|---|
# | **student** | to understand it by doing | all chapters in order, 01 to 15 |
# | **clinician** | to look at contours, your own too, without code | 01, 04, 10, 14 |
# | **lecturer** | 90 minutes in front of a class | show 01, 05, 07, 10; all questions take 150 |
#
# **Researchers** on the way to real hospitals read 03, 04, 06, 07, 08, 09, 12, 13, 15, and then *Your own data* in
# `README.md`.
#
# | notebook | the question | minutes |
# |---|---|---|
# | [01 Reading a child's CT][01] | What do gray values, planes, and spacings mean? | 30 |
# | [02 Growing bodies][02] | How do organs grow, and why do small ones vanish on a grid? | 30 |
# | [03 From scan to tensor][03] | What does a network need before it can learn? | 40 |
# | [04 How good is a contour?][04] | What does a score see, and what does it miss? | 50 |
# | [05 One hospital learns alone][05] | How good is a network at home, and how good next door? | 50 |
# | [06 Averaging by hand][06] | What does a federation compute? | 50 |
# | [07 A federation of centers][07] | Does a federation help, and how sure are we? | 50 |
# | [08 On their side][08] | What does each difference between hospitals cost? | 30 |
# | [09 One kidney][09] | Where an organ is gone, what do networks draw, and which contours fail? | 35 |
# | [10 The reading room][10] | Where do the contours fail? | 20 |
# | [11 CT meets MR][11] | Can a CT hospital and an MR hospital learn together? | 45 |
# | [12 Across the firewall][12] | How do hospitals that cannot reach each other exchange models? | 45 |
# | [13 What leaves the hospital?][13] | What does an update give away, and what does hiding it cost? | 50 |
# | [14 Your own patients][14] | How do scans come in, and contours go out to treatment planning? | 25 |
# | [15 Capstone: a third hospital joins][15] | Two flaws are hidden in its data: which, and what now? | 120 |
#
# The minutes are for reading and answering. If you do not know a term, look in the [glossary](../docs/glossary.md).
#
# [01]: 01_reading_a_childs_ct.ipynb
# [02]: 02_growing_bodies.ipynb
# [03]: 03_from_scan_to_tensor.ipynb
# [04]: 04_how_good_is_a_contour.ipynb
# [05]: 05_one_hospital_learns_alone.ipynb
# [06]: 06_averaging_by_hand.ipynb
# [07]: 07_a_federation_of_centers.ipynb
# [08]: 08_on_their_side.ipynb
# [09]: 09_one_kidney.ipynb
# [10]: 10_reading_room.ipynb
# [11]: 11_ct_meets_mr.ipynb
# [12]: 12_across_the_firewall.ipynb
# [13]: 13_what_leaves_the_hospital.ipynb
# [14]: 14_your_own_patients.ipynb
# [15]: 15_capstone.ipynb

# %%
lesson.finish()
