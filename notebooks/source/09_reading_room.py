# %% [markdown]
# # 09 · The reading room
#
# *20 minutes · clinicians, students, lecturers · no programming, the code is folded away*
#
# **You will be able to**
# - look at the contours of four networks, child by child and organ by organ,
# - find where they fail, and guess why.
#
# Click **Run → Run All Cells** once. Then only the pictures matter.

# %% hidden
from pedseg.workbook import exam, lesson, scores
from pedseg.workbook.viewer import SliceViewer

lesson.setup()

# %% [markdown]
# ## How to read
#
# - **Solid** lines are the true contours, **dashed** lines are what the chosen network has drawn.
# - The child's right is on the left of the picture.
# - *Drawn by* chooses the network: each hospital's own, the **federated** one, and **centralized**, the ideal with all
#   scans in one place. The first look at a child takes a moment, while the network draws.
# - The sentence under the picture names what was missed, and what was drawn although it is not there.
#
# These are computer-made children of two invented hospitals. What you see is what such networks do, not how well a
# clinical one would do it.

# %% hidden
study = lesson.study()
room = exam.reading_room(lesson.samples(), study)
SliceViewer(room)

# %% [markdown]
# ## Four things to look for
#
# 1. **The stumble next door.** Choose a child from Neckar and let *Polder alone* draw. Then *federated*. Watch the
#    kidneys and the spleen.
# 2. **The missing kidney.** Choose a child whose line says *no left kidney* or *no right kidney*. Does a network draw
#    one all the same? What did it take for a kidney: bowel, spleen, muscle?
# 3. **Thin organs.** Switch on the adrenal glands and the portal vein. Are they missed, or merely in the wrong place?
# 4. **Ends.** Leaf to the top and the bottom of the liver and the lungs. Contours often go wrong in the last slice or
#    two, and a mean over the organ hides it.
#
# ## The worst contours of the study
#
# Rules have looked through all contours of the study's test children (most of them are not among those above). These
# went most wrong, in words: what happened, and what is known of the child that makes it likely. Chapter 08 has the
# rules.

# %% hidden
from pedseg.evaluation.failures import worst
from pedseg.evaluation.results import read_rows

rows = read_rows(study / "cases.csv")
scores.shown(scores.sentences(worst(exam.recorded_failures(study), 12)), "The worst failures")

# %% [markdown]
# The lowest Dice of the federated network, whatever the reason. HD95 is a distance: 95 % of the drawn outline is at
# most so far from the true one.

# %% hidden
scores.shown(scores.worst(rows), "Lowest Dice of the federated network")

# %% [markdown]
# And these are the largest kidneys that were drawn where none is.

# %% hidden
scores.shown(scores.false_kidneys(rows)[:10], "Kidneys drawn after removal")

# %% [markdown]
# ## To think about
#
# - Which of these failures would you notice in ten seconds? Which would slip through?
# - Which would change the dose plan?
# - Would you rather have a network that draws a false kidney, or one that misses a real one?

# %% hidden
lesson.finish()
