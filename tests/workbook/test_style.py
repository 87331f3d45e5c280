"""Plain American English, as far as a script can tell: short sentences, and none of the phrases listed here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "data_samples/README.md"]
PAGES += [f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "commands.md"]
PAGES += [str(page.relative_to(ROOT)) for page in sorted((ROOT / "pedseg" / "site" / "pages").rglob("*.md"))]
CHAPTERS = [f"notebooks/source/{source.name}" for source in sorted((ROOT / "notebooks" / "source").glob("*.py"))]
QUIZZES = [f"notebooks/quizzes/{quiz.name}" for quiz in sorted((ROOT / "notebooks" / "quizzes").glob("*.toml"))]
LONGEST = {"notebooks": 32, "": 40}  # words in a sentence; a page that one looks things up in may have longer ones

PHRASES = {  # what a reader stumbles over, and what is said instead
    r"\bDoes this \w+ do\b": "is this ... good enough, can this ... do it",
    r"\brims?\b": "edge",
    r"\bleaf\w* through\b": "scroll through",
    r"\b[Ww]hich (?:share|fraction)\b": "what fraction",
    r"\b[Rr]eplac\w+ (?:[\w-]+ ){1,4}by\b": "replace with",
    r"\bper cent\b": "percent",
    r"\bfor ever\b": "forever",
    r"\bmatter of course\b": "not to be taken for granted",
    r"\bin place of\b(?! the dots)": "instead of",
    r"\ban? [\w -]{1,30} of (?:its|their|his|her|your) own(?=\W*$|[.,;:)])": "its own ...",
    r"\ball the same\b": "anyway, still",
    r"\bway round\b|\bturn(?:s|ed)? round\b": "around",
    r"\blets? in\b": "accept",
    r"\b(?:stands?|stood) (?:in|under|on|beside|above|there)\b": "is in, is below",
    r"\bholds? zero\b": "includes zero",
    r"\bbe it\b": "even if",
    r"^Who(?!se|ever) [^?]*\.$": "anyone who ..., if you ...",
    r"\banew\b": "again",
    r"\bbeneath\b": "below",
    r"\bthis very\b": "this, the same",
    r"(?<!another )\b[Oo]ne (?:can|may|must|would|cannot|has to) \w": "you can, we must",
    r"\bhand(?:s|ed)? over\b": "give, send",
    r"\b(?:cures?|handwritings?|stumbles?|grown-up)\b": "remedy, signature, drop, production",
    r"\bmeasure the way\b": "measure the distance",
    r"\b[Tt]elephone\b": "smartphone, phone",
    r"\bbelieves? in\b": "assume",
    r"\bless without\b": "minus",
    r"\bnot (?:un|in)\w+ly\b|\bnot without\b|\bno \w+ (?:that )?(?:does|is|has) not\b": "say it positively",
    r"\b\w*(?:colour|behaviour|favour|neighbour|tumour|paediatr|oesoph|travell|labell|modell)\w*": "American spelling",
    r"\b(?:grey|centres?|(?:milli|centi|kilo)?(?:metre|litre)s?|programmes?)\b": "American spelling",
    r"\b(?:analyse[sd]?|learnt|whilst|amongst|towards|afterwards|upwards|downwards)\b": "American spelling",
    r"\b(?:\w*(?:organ|normal|real|recogn|summar|random|optim|minim|maxim|general|special|local|initial|standard|visual)"
    r"is(?:e|es|ed|ing|ation))\b": "American spelling",
}

BLOCK = re.compile(r"^(?:```.*?^```$|\|[-| ]+\|$|\[\w+\]: .*$|<img.*?>)", re.MULTILINE | re.DOTALL)
PARAGRAPH_START = re.compile(r"\s*(?:[-*] |\d+\. |#+ |> ?)")
SENTENCE_END = re.compile(r"(?<=[.!?:;])[)*\"']*\s+(?=[\"'*(]*[A-Z0-9])")
WORD = re.compile(r"[\w'’-]*[A-Za-z][\w'’-]*")


def markdown(file: Path) -> str:
    """The prose of a page, of a chapter (its markdown cells) or of a quiz (questions, answers, reasons)."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".toml":
        questions = tomllib.loads(text)["questions"]
        return "\n\n".join(t for q in questions for t in (q["text"], *q["right"], *(x for w in q["wrong"] for x in w)))
    if file.suffix == ".py":
        cells = re.findall(r"^# %% \[markdown\].*\n((?:#(?! %%).*\n|\n)*)", text, re.MULTILINE)
        return "\n\n".join(re.sub(r"^# ?", "", cell, flags=re.MULTILINE) for cell in cells)
    return text


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs, list items and table cells; code spans become one word, links their text."""
    text = re.sub(r"`[^`]*`", "Code", BLOCK.sub("\n", text))
    text = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[\d\d\])", r"\1", text)
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            yield from (cell.strip() for cell in line.strip("|").split("|"))
        elif not line.strip() or PARAGRAPH_START.match(line):
            yield " ".join(block)
            block = [PARAGRAPH_START.sub("", line)] if line.strip() else []
        else:
            block.append(line.strip().removeprefix("> "))


def sentences(text: str) -> list[str]:
    return [sentence for part in paragraphs(text) for sentence in SENTENCE_END.split(part) if sentence.strip()]


def phrases_in(sentence: str) -> list[str]:
    """Each listed phrase in a sentence, and what to say instead."""
    found = ((re.search(phrase, sentence), instead) for phrase, instead in PHRASES.items())
    return [f"{match[0]!r}: {instead}" for match, instead in found if match]


@pytest.mark.parametrize("file", CHAPTERS + QUIZZES + PAGES)
def test_sentences_are_short_and_idiomatic(file):
    limit = next(words for folder, words in LONGEST.items() if file.startswith(folder))
    problems = []
    for sentence in sentences(markdown(ROOT / file)):
        problems += [f"{phrase}: {sentence}" for phrase in phrases_in(sentence)]
        if len(WORD.findall(sentence)) > limit:
            problems.append(f"{len(WORD.findall(sentence))} words: {sentence}")
    assert problems == []


def test_the_check_finds_what_it_should():
    text = (
        "# A title\n\nOne (two). Three: `four. Five`\n- six; Seven\n\n| a cell | b |\n|---|---|\n```\ncode. Code\n```\n"
    )
    assert sentences(text) == ["A title", "One (two).", "Three:", "Code", "six;", "Seven", "a cell", "b"]
    assert phrases_in("Replace the scan by a kernel of its own, towards the rim.") == [
        "'rim': edge",
        "'Replace the scan by': replace with",
        "'a kernel of its own': its own ...",
        "'towards': American spelling",
    ]
    assert phrases_in("Who claims it must show it.") == ["'Who claims it must show it.': anyone who ..., if you ..."]
    assert phrases_in("Who claims it?") == [] == phrases_in("Organs are replaced with others, and one kidney stays.")
