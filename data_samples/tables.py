"""Write the tables of two pages of docs from the recorded results: `python data_samples/tables.py`.

A table is found by its first line. Sentences are still written by hand: read those around a table that changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pedseg.evaluation.comparisons import ALPHA
from pedseg.evaluation.failure_reasons import CAUSES
from pedseg.evaluation.failure_study import vanishing
from pedseg.evaluation.results import Results, read_rows
from pedseg.organs import NAMES, organ

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
STUDY = ("Neckar", "Polder")
CARD_COLUMNS = 3  # of organs side by side in the model card
METHOD_LABELS = {
    "local": "each hospital alone",
    "fedprox": "FedProx",
    "fedavgm": "FedAvgM",
    "fedadam": "FedAdam",
    "scaffold": "SCAFFOLD",
    "fedbn": "FedBN (own norms)",
    "fedper": "FedPer (own head)",
    "fine-tuned": "fine-tuned at home",
}
MR_LABELS = {
    "limited-1:1": "six at each hospital",
    "limited-1:2": "twice as many on CT",
    "limited-1:5": "five times as many on CT",
    "complete": "thirty at each hospital",
}
Table = Iterator[list[str]]


def summary(name: str) -> dict[str, Any]:
    """What a recorded run has summarized."""
    return json.loads((RESULTS / name / "summary.json").read_text(encoding="utf-8"))


def with_interval(mean: Mapping[str, float]) -> str:
    """A mean and its interval."""
    return f"{mean['mean']:.3f}, {mean['low']:.3f}–{mean['high']:.3f}"


def difference(line: Mapping[str, float], mark: str = "") -> str:
    """A difference and its interval; -0.000 tells that an end lies below zero."""
    return f"{mark}{line['difference']:+.3f}{mark} ({line['low']:+.3f} to {line['high']:+.3f})"


def study(*labels: str) -> Table:
    """Mean DSC over the nine organs, and over all: at home, next door, federated, centralized."""
    cells = {(line["role"], line["tested_on"]): line for line in summary("study")["statistics"]["table"]}
    for role, label in zip(("home", "away", "federated", "centralized"), labels, strict=True):
        lines = [cells[role, center] for center in STUDY]
        yield [label, *(f"{with_interval(line['dsc'])} ({line['dsc_all']['mean']:.3f})" for line in lines)]


def unseen() -> Table:
    """Mean DSC over the nine organs at two hospitals that nobody trained on."""
    table = summary("unseen")["statistics"]["table"]
    cells = {(line["model"], line["trained_on"], line["tested_on"]): line["dsc"] for line in table}
    models = [("local", center, f"{center}'s own") for center in STUDY]
    both = "Polder+Neckar"
    for model, trained_on, label in [
        *models, ("federated", both, "federated"), ("centralized", both, "all scans in one place")
    ]:  # fmt: skip
        yield [label, *(with_interval(cells[model, trained_on, center]) for center in ("Delta", "Fjord"))]


def fairness() -> Table:
    """Each group without and with the federation: at the known hospitals and at those that nobody trained on."""
    lines = zip(summary("evaluate")["fairness"], summary("unseen")["fairness"], strict=True)
    for known, other in lines:
        if known["group"] != "worst off":
            label = " or ".join(dict.fromkeys((known["group"], other["group"])))
            label += f" by {known['by']}" if label == "spread" else ""
            cells = [(f"{line['alone']:.3f}, {line['federated']:.3f}", difference(line)) for line in (known, other)]
            yield [label, *cells[0], *cells[1]]


def observers() -> Table:
    """The DSC of two invented observers, and the networks beside it; bold outside of that band."""
    for line in summary("observers")["networks"]["study"]:
        medians = [(f"{model['median']:.3f}", model["position"]) for model in line["models"].values()]
        band = f"{line['median']:.3f}, {line['low']:.3f}–{line['high']:.3f}"
        cells = [median if position == "within" else f"**{median}**" for median, position in medians]
        yield [organ(line["organ"]).plain, band, f"{line['against_truth']:.3f}", f"{line['exchange']:.3f}", *cells]


def robust() -> Table:
    """Mean DSC over the nine organs in four kinds of people: the robust network, and the study's."""
    results = Results(read_rows(RESULTS / "robust" / "cases.csv.xz"))
    by_training = {key.trained_on: key for key in results.model_keys}
    keys = [by_training[trained_on] for trained_on in ("Varied", "Polder+Neckar")]
    kinds = {"children": "Children", "adults": "Adults", "obese": "Obese", "parts of the trunk": "Parts"}
    for label, center in kinds.items():
        means = [results.organ_mean(key.at(center), "dsc", results.evaluated) for key in keys]
        yield [label, *(f"{mean.mean:.3f} ({mean.low:.3f} to {mean.high:.3f})" for mean in means)]


def partial_labels() -> Table:
    """Mean DSC of the organs that only the other hospital draws, and of those that only the hospital itself draws."""
    cells = {
        (line["method"], line["tested_on"], line["drawn_by"]): with_interval(line)
        for line in summary("partial_labels")["means"]
    }
    for method in ("naive", "marginal", "head", "complete"):
        yield [method, *(cells[method, center, f"only {who}"] for center in STUDY for who in ("the other", "this"))]


def convergence() -> Table:
    """What three recipes reach in so many CPU minutes."""
    labels = {"lesson": "this lesson", "tutorial": "MONAI's tutorial", "nnunet": "nnU-Net v2"}
    rows = json.loads((RESULTS / "convergence" / "rows.json").read_text(encoding="utf-8"))
    for method, label in labels.items():
        for row in sorted((row for row in rows if row["method"] == method), key=lambda row: row["cpu_minutes"]):
            scores = (f"{row[f'dsc of {organs}']:.3f}" for organs in (9, 19))
            yield [label, f"{row['cpu_minutes']:.0f}", str(row["steps"]), *scores]


def methods() -> Table:
    """Averaging, and what other methods add to it in three kinds of difference; bold where it is significant."""
    lines = [line for line in summary("methods")["comparisons"] if line["tested_on"] == "both"]
    cells = {(line["model"], line["scenario"]): line for line in lines}
    kinds = ("study", "single-phase", "unequal")
    yield ["federated averaging, mean DSC", *(f"{cells['federated', kind]['mean']:.3f}" for kind in kinds)]
    for model, label in METHOD_LABELS.items():
        lines = [cells[model, kind] for kind in kinds]
        yield [label, *(difference(line, "**" if line["p_holm"] < ALPHA else "") for line in lines)]


def unseen_mr() -> Table:
    """Mean DSC over FedGIN's five organs on T1-weighted MR, without and with GIN, for each number of children."""
    cells = {
        (line["scenario"], line["model"]): line["five"]["mean"]
        for line in summary("fedgin")["means"]
        if line["tested_on"] == "Fjord T1w 3 T"
    }
    for scenario, label in MR_LABELS.items():
        yield [label, f"{cells[scenario, 'federated']:.2f} and {cells[scenario, 'federated_gin']:.2f}"]


def long_mr() -> Table:
    """What GIN changes, over FedGIN's five organs and over all: the median over patients, and its interval."""
    runs = [summary(name)["overall"] for name in ("fedgin_complete", "fedgin_long")]
    for organs, label in (("five", "five organs"), ("all", "all 19 organs")):
        for center, kind in (("Polder", "CT"), ("Fjord", "MR")):
            lines = [line for run in runs for line in run if (line["tested_on"], line["organs"]) == (center, organs)]
            numbers = [(line["median_difference"], *line["interval"]) for line in lines]
            changes = [dict(zip(("difference", "low", "high"), three, strict=True)) for three in numbers]
            yield [f"{label}, {kind}", *map(difference, changes)]


def noise() -> Table:
    """Mean DSC of federations of several sizes, without noise on their updates and with it."""
    dsc = pd.read_csv(RESULTS / "noise" / "noise.csv").groupby(["hospitals", "noise_multiplier"])["dsc"].mean()
    for hospitals in (2, 5, 20):
        yield [str(hospitals), *(f"{dsc[hospitals, multiplier]:.2f}" for multiplier in (0.0, 0.003, 0.01))]


def second_scans() -> Table:
    """By leading cause, the share of failures that vanishes in the other contrast phase, and with other noise."""
    shares = vanishing(pd.read_csv(RESULTS / "study" / "rescans.csv.xz"))
    shares = shares[(shares["change"] == "phase") & (shares["failures"] >= 20)]
    for row in shares.sort_values("failures", ascending=False, kind="stable").to_dict("records"):
        cells = [
            f"{100 * row[w]:.0f} % ({100 * row[f'{w}_low']:.0f} to {100 * row[f'{w}_high']:.0f})"
            for w in ("vanished", "control")
        ]
        yield [CAUSES.get(row["cause"], row["cause"]), str(row["failures"]), *cells]


def organs_of_federated() -> Table:
    """Mean DSC of the federated network by organ, best first, in three columns from top to bottom."""
    rows = read_rows(RESULTS / "study" / "cases.csv.xz")
    rows = rows[(rows["model"] == "federated") & (rows["seed"] == 0) & rows["present"]]
    patients = rows.groupby(["organ", "tested_on", "patient"])["dsc"].mean()
    best = patients.groupby("organ").mean().sort_values(ascending=False)
    cells = [(organ(name).plain, f"{dsc:.3f}") for name, dsc in best.items()]
    height = -(-len(NAMES) // CARD_COLUMNS)
    for row in range(height):
        yield [text for column in range(CARD_COLUMNS) for text in (*cells, ("", ""), ("", ""))[row + column * height]]


TABLES: dict[tuple[str, str], Callable[[], Table]] = {
    ("results.md", "| model | tested on Neckar | tested on Polder |"): lambda: study(
        "the hospital's own, at home", "the neighbor's", "federated", "all scans in one place"
    ),
    ("results.md", "| people | robust | the study's |"): robust,
    ("results.md", "| organ | band | alone | exchange | federated | home | away |"): observers,
    ("results.md", "| model | Delta | Fjord |"): unseen,
    ("results.md", "| group | known: without, with | difference | unseen: without, with | difference |"): fairness,
    ("results.md", "| method | Neckar: the other's | Neckar: its own | Polder: the other's | Polder: its own |"): (
        partial_labels
    ),
    ("results.md", "| method | as in the study | one phase each | 30 and 6 children |"): methods,
    ("results.md", "| recipe | CPU minutes | steps | nine organs | nineteen |"): convergence,
    ("results.md", "| training children, CT and MR | T1-weighted MR, without and with GIN |"): unseen_mr,
    ("results.md", "| with GIN minus without | after 1000 steps | after 4000 steps |"): long_mr,
    ("results.md", "| hospitals | without noise | noise of 0.003 times the clipping norm | 0.01 times |"): noise,
    ("results.md", "| leading cause | failures | vanish in the other contrast phase | with other noise |"): (
        second_scans
    ),
    ("model_card.md", "| model | tested on Neckar | tested on Polder |"): lambda: study(
        "local, at home", "local, of the neighbor", "federated", "centralized"
    ),
    ("model_card.md", "| organ | DSC | organ | DSC | organ | DSC |"): organs_of_federated,
}


def renewed(page: str, text: str) -> str:
    """The text of a page with its tables as the records have them; its prose stays."""
    for (name, head), table in TABLES.items():
        if name == page:
            before, rest = text.split(f"{head}\n", 1)
            ruler, after = rest.split("\n", 1)
            after = f"\n{after}"  # a new table has no line yet
            after = after[after.index("\n\n") :]
            lines = ["| " + " | ".join(cells).replace("|  |", "| |").rstrip() + " |" for cells in table()]
            text = f"{before}{head}\n{ruler}\n" + "\n".join(lines) + after
    return text


def main() -> None:
    """Renew both pages."""
    for page in sorted({page for page, _ in TABLES}):
        file = DOCS / page
        file.write_text(renewed(page, file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
