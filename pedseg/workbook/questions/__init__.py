"""What the notebooks ask: for each question the right answer, the usual slips and what to say to them.

An answer is computed from what the notebook gives with it, so that questions stay true when data
or sizes change. `judging` compares, `lesson.check` does the talking.
"""

from pedseg.workbook.exercise_checks import Question
from pedseg.workbook.questions.exchange import EXCHANGE
from pedseg.workbook.questions.federations import FEDERATIONS
from pedseg.workbook.questions.modalities import MODALITIES
from pedseg.workbook.questions.networks import NETWORKS
from pedseg.workbook.questions.scans import SCANS

QUESTIONS: dict[str, Question] = {**SCANS, **NETWORKS, **FEDERATIONS, **MODALITIES, **EXCHANGE}
