"""The reference of all commands (docs/commands.md), made from the parser so that it cannot drift.

`python -m pedseg.cli.reference > docs/commands.md` writes it anew; a test compares.
"""

from __future__ import annotations

import argparse
import inspect
import sys

TOP = """# Commands

Made from the parser by `python -m pedseg.cli.reference`: do not edit. Type `python3 run.py VERB …`, or
`pedseg VERB …` where pedseg is installed. Exit codes: 0 done, 1 problems in your data (or a set-up that could not be
finished), 2 wrong usage, 130 interrupted. A run that was interrupted goes on from what is on disk when it is called
again.
"""


def markdown(parser: argparse.ArgumentParser) -> str:
    """One section a verb: what it does, what it leaves, and a table of its arguments."""
    (subparsers,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return "\n".join([TOP, *(_section(name, verb) for name, verb in subparsers.choices.items())])


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    module = sys.modules[parser.get_default("run").__module__]
    _, _, leaves = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    actions = [action for action in parser._actions if action.dest not in ("help", "debug")]
    rows = [f"| `{_usage(action)}` | {_help(parser, action)} |" for action in actions]
    table = ["| argument | |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## {name}", "", str(parser.description), "", *([leaves, ""] if leaves else []), *table, ""])


def _usage(action: argparse.Action) -> str:
    """An argument as one writes it: `--seeds N`, `--profile lesson|clinic`."""
    value = "" if action.nargs == 0 else action.metavar or action.dest.upper()
    if action.choices and not action.metavar:
        value = "\\|".join(map(str, action.choices))
    return " ".join(filter(None, ["/".join(action.option_strings), str(value)]))


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help text with its default, for a table; required options say so."""
    text = ((action.help or "") % {**vars(action), "prog": parser.prog}).replace("|", "\\|")
    if action.required and action.option_strings:
        text = f"{text}; required" if text else "required"
    complete = "default" in text or action.default in (None, False, "", []) or action.default is argparse.SUPPRESS
    return text if complete else f"{text}; default: {action.default}".removeprefix("; ")


if __name__ == "__main__":
    from pedseg.cli.parser import parser as top

    sys.stdout.write(markdown(top()))
