# %% [markdown]
# # 10 · The reading room
#
# *20 minutes · clinicians, students, lecturers · no programming, the code is folded away*
#
# **You will be able to**
# - look at the contours of four networks, child by child and organ by organ, in slices and in 3-D,
# - find where they fail, and suggest why,
# - see where two networks disagree, and correct a contour,
# - score contours as a reader, blinded, and measure how well two readings agree.
#
# Click **Run → Run All Cells** once. Then only the pictures matter.

# %% hidden
from pedseg.viewer import engines
from pedseg.workbook import lesson

lesson.setup()
engines.prepare()

# %% hidden
engines.reading_room(lesson.samples(), lesson.study())

# %% [markdown]
# ## How to read
#
# - Three lists at the top choose contours: **A** is drawn solid (here the true contours), **B** dashed, and **C**
#   dotted. The child's right is on the left of the picture; letters at the edge name the sides of the child, however
#   it lies.
# - The networks are each hospital's own (*Polder alone*, *Neckar alone*), the **federated** one, and **centralized**,
#   the ideal with all scans in one place.
# - The mouse wheel scrolls through the slices; with *Ctrl* it zooms. A click moves the crosshair, and the line below
#   names the organ there. The right mouse button, or a finger, changes the window, scrolls, measures in mm, or moves
#   the picture, as you choose. The tab *Keys* lists the keyboard shortcuts.
# - The lists *Polder, fine* and *Neckar, fine* hold the same children in the voxels of a clinic, 1 × 1 × 2 mm.
# - *Failures* starts with a map: organ, network, hospital. A click on a number lists these failures, the worst first,
#   one line for each organ of a child. A click on a line opens the child, goes to the place, and says why: each cause
#   with how much more often contours fail with it. *Scan again: prove it* scans the same child with one thing changed.
#   These children are made by a program, so each can be made again in a second, voxel by voxel the same. The address of
#   the page names the failure, so you can send it to a colleague.
# - *Dose* shows what a contour does to a teaching plan. *Score* saves your judgment.
# - *Differences* steps through the places where two sets of contours disagree. *Correct* lets you draw; what you draw
#   is kept, and *Files* writes it or opens other scans.
# - The table under *Organs* gives the scores in numbers.
#
# These are synthetic children of two invented hospitals. They show what kinds of errors such networks make, not how
# good a clinical network would be.
#
# ## Four things to look for
#
# 1. **Worse next door.** Choose a child from Neckar and let *Polder alone* draw, then *federated*. Look at the kidneys
#    and the spleen, in 3-D with *distance to A*.
# 2. **The missing kidney.** Choose the kind *drawn, but absent* in the list of failures. What did the network take for
#    a kidney: bowel, spleen, or muscle? Which dose would be reported for it (*Dose*)?
# 3. **Thin organs.** Switch on the adrenal glands and the portal vein. Are they missed, or merely in the wrong place?
# 4. **On the side.** Choose *children on their side* above the list. Then choose the same network in list B without *as
#    it lies*: the scan is turned onto its back first.
#
# ## Your task: score contours
#
# Open *Score*, write your name or a letter, and press *blinded*. Score the nine organs of one network in three
# children of the study with the keys 1 to 5, from "draw it again" to "good as it is". Each score is saved at once.
# Then set *reading* to 2 and score the same contours again, tomorrow if you can, or let somebody else read them.
# *Agreement, and scores beside DSC* shows how well two readings agree, and whether you call good what has a high DSC.
# So does the next cell, if you run it again.

# %% hidden
from IPython.display import HTML

from pedseg.evaluation.reader_scores import ScoreBook
from pedseg.evaluation.results import read_rows, rows_file
from pedseg.workbook.reader_study import readings_html

rows = read_rows(rows_file(lesson.study()))
HTML(readings_html(ScoreBook(lesson.runs() / "scores").all(), rows[rows["seed"] == 0]))

# %% [markdown]
# ## To think about
#
# - Which of these failures would you notice in ten seconds? Which would slip through?
# - Which would change the dose plan?
# - Would you rather have a network that draws a false kidney, or one that misses a real one?

# %% [markdown] lecture
# ## The reading room
#
# Contours of four networks, child by child and organ by organ. Solid is the truth, dashed is the network.
#
# ![Slices in three planes with true and predicted contours, two 3-D views, and a table with the scores of each
# organ.](../docs/reading_room_open.png)
#
# > **Question.** What do you look at first: the picture, the table, or the list of failures?

# %% [markdown] lecture
# ## Failures, the worst first
#
# A click on a line opens the child and goes to the place.
#
# ![A kidney that was removed and that the network draws is chosen in the list of failures; a ring in the slices is at
# its place.](../docs/reading_room_failure.png)
#
# > **Question.** Would you have noticed this one in ten seconds? Would it change the dose?

# %% [markdown] lecture
# ## How far is it off?
#
# Color tells the distance from the drawn surface to the true one.
#
# ![In 3-D the predicted organs are colored by their distance to the true surface, in
# mm.](../docs/reading_room_distance.png)
#
# > **Question.** Where on an organ are the large distances: in the middle, or at its ends? Why?

# %% [markdown] lecture
# ## Two networks, one child
#
# Where two networks disagree, at least one of them is wrong.
#
# ![The list of places where two networks disagree, the largest first, and that place in the
# slices.](../docs/reading_room_two_models.png)
#
# > **Question.** Which of the two would you trust here, without the true contour?

# %% hidden
lesson.finish()
