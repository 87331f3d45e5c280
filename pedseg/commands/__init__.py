"""The verbs of the command line: functions of the parsed options that return an exit code, a file a kind.

Each file ends with its `VERBS`: the function, and what adds its arguments to a parser. What is heavy is imported when
a verb runs.
"""

import argparse
from collections.abc import Callable

from pedseg.commands import data_sets, line_by_line, studies, workbook

Verb = Callable[[argparse.Namespace], int]
VERBS: dict[Verb, Callable[[argparse.ArgumentParser], None]] = {
    **studies.VERBS,
    **data_sets.VERBS,
    **line_by_line.VERBS,
    **workbook.VERBS,
}
