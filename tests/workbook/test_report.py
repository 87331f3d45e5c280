"""The report stands alone, says what the rows say, and can be read by everybody."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pedseg.errors import PedsegInputError
from pedseg.evaluation.failure import Failure
from pedseg.evaluation.results import COLUMNS, read_rows
from pedseg.evaluation.statistics import summarize_rows
from pedseg.organs import EVALUATED
from pedseg.scan import Scan, write_nifti
from pedseg.workbook import charts
from pedseg.workbook.report import learning_curves, svg, write_report

CENTERS = ("Neckar", "Polder & <Dijk>")  # a name that would break a page that does not escape
DSC = {"home": 0.9, "away": 0.7, "federated": 0.85, "centralized": 0.88}
SUMMARY = {
    "versions": {"python": "3.11.9", "torch": "2.13.0"},
    "settings": {"profile": "lesson", "seeds": [0], "rounds": 10, "steps": 100},
    "seconds": {"total": {"wall": 301.5, "cpu": 560.25}},
    "peak_memory_mib": 1234.4,
    "sha256": {"seed0_federated": "c0ffee" * 10},
    "curves": {
        "seed0_federated": [{"step": 100, "loss": 1.5, "dsc": 0.3}, {"step": 200, "loss": 1.0, "dsc": 0.6}],
        "seed0_local_Neckar": [{"step": 100, "loss": 1.4, "dsc": None}],
    },
}


class Page(HTMLParser):
    """Reads a page: its text, and every tag with its attributes; unclosed tags are an error."""

    EMPTY = ("meta", "img", "br", "path", "polyline")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"] and (data.strip() or "\n" not in data):
            self.text += re.sub(r"\s*\n", " ", data.strip("\n"))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two centers, six patients each, four models, the nine organs."""
    folder = tmp_path_factory.mktemp("study")
    lines = [",".join(COLUMNS)]
    model_keys = [
        ("local", CENTERS[0]),
        ("local", CENTERS[1]),
        ("federated", "+".join(CENTERS)),
        ("centralized", "+".join(CENTERS)),
    ]
    for center in CENTERS:
        for k in range(6):
            for model, trained_on in model_keys:
                role = model if model != "local" else "home" if trained_on == center else "away"
                for organ in EVALUATED:
                    start = ["0", model, trained_on, center, f"p{k}", f"c{k}", organ]
                    gone = organ == "Kidney_R" and k == 0
                    quality = (
                        ["0", "", "", "", "0", "2.5", ""]
                        if gone
                        else ["1", f"{DSC[role] + k / 1000}", "4", "1", "90", "91", "0.875"]
                    )
                    lines.append(",".join(start + quality))
    (folder / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    summary = {**SUMMARY, "statistics": summarize_rows(read_rows(folder / "cases.csv"))}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def page(folder) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_page_needs_nothing_but_itself(page):
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for key in ("src", "href", "srcset"):
            assert attributes.get(key, "data:").startswith("data:")


def test_the_table_holds_the_four_columns_for_both_centers(page):
    for center in CENTERS:
        row = page.text[page.text.index(f"patients of {center}0") :]  # the row header, then its cells
        means = [float(n) for n in re.findall(r"(?<!to )0\.\d{3}(?! to)", row)[:4]]
        assert means == pytest.approx([DSC[r] + 0.0025 for r in ("home", "away", "federated", "centralized")], abs=6e-4)


def test_the_sentences_carry_the_numbers_of_the_story(folder, page):
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["statistics"]
    drop = told["drops"][0]
    assert f"{drop['home']:.3f} at home and {drop['away']:.3f} on patients of" in page.text
    assert "differs by −0.050 DSC" in page.text
    assert f"{100 * told['centralized'][0]['ratio']:.1f}\u00a0% of the centralized model" in page.text


def test_settings_versions_time_memory_and_fingerprints_are_told(page):
    for told in ("lesson", "torch 2.13.0", "301.5", "560.2", "1234 MiB", "c0ffee" * 10, "DSC ±0.01"):
        assert told in page.text
    assert "not the values of a clinic" in page.text


def test_the_margin_stands_beside_every_equivalence(page):
    assert "margin of ±0.01 DSC: equivalent in" in page.text
    for margin in ("±0.01", "±1", "±0.5", "±0.02"):
        assert f"p equivalence within {margin}, Holm" in page.text
    assert "; noninferior in" in page.text and "p noninferiority, Holm" in page.text


def test_nsd_is_a_measure_like_the_others(page):
    row = page.text[page.text.index("All models on the 6 test patients of Neckar") :]
    assert "mean surface distance, mmNSDNeckar alone" in row
    assert "0.875 0.875 to 0.875" in row
    assert "NSD: share of both surfaces" in page.text


def test_what_the_patients_can_show_is_told_even_where_it_is_nothing(folder, page):
    assert "80\u00a0% power" in page.text and "p < 0.0056" in page.text
    row = page.text[page.text.index("federated minus own local modelorgan") :]
    assert "smallest margin within which equivalence is shownliver6–––" in row  # six patients cannot pass 0.05 / 9
    assert "If both models were equal on every organ, at least 0.0 of 9 organs would be expected to pass" in row


def test_failures_are_told_in_words_and_numbers(folder, tmp_path):
    for name in ("cases.csv", "summary.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    who = ("c1", CENTERS[1], "Spleen", "local", CENTERS[0])
    failures = [
        Failure(*who, "leaking", 12.34, "mL", 40.0, (1, 2, 3), "The local model of <Neckar> draws too much."),
        Failure("c2", *who[1:], "swapped", 34.5, "%", 30.0, None, "Left is right."),
        Failure("c3", *who[1:], "worst", 0.456, "DSC", 20.0, None, "A third spleen."),
    ]
    (tmp_path / "failures.json").write_text(json.dumps([f.as_json() for f in failures]), encoding="utf-8")
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    text = page.text[page.text.index("Failures") :]
    assert "The 2 worst contours" in text  # an organ stands there twice at most
    assert "c1, spleen: beyond its border, 12.3\u00a0mL. The local model of <Neckar> draws too much." in text
    assert "left and right swapped, 34\u00a0%. Left is right." in text
    assert "left and right swapped1a part elsewhere0" in text  # how often


def test_removed_kidneys_stand_beside_present_ones(page):
    row = page.text[page.text.index("Removed kidneys: false volume beside sensitivity") :]
    # 1 removed, 2.5 mL, all false, 11 present, all found; Wilson's intervals 1 / (1 + 1.96²) and 11 / (11 + 1.96²) to 1
    all_of_one, all_of_eleven = (f"100\u00a0% {low}\u00a0% to 100\u00a0%" for low in (21, 74))
    assert f"NeckarNeckar alone12.5{all_of_one}11{all_of_eleven}" in row


def test_every_header_has_a_scope_every_picture_a_text(page):
    assert {cell["scope"] for cell in page.all("th")} == {"col", "row"}
    assert len(page.all("table")) == len(page.all("caption")) > 8
    assert page.all("svg") and all(len(svg["aria-label"]) > 30 and svg["role"] == "img" for svg in page.all("svg"))
    assert page.all("html")[0]["lang"] == "en"
    assert "width=device-width" in page.all("meta")[1]["content"]


def test_the_same_study_gives_the_same_bytes(folder):
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_contours_are_drawn_from_kept_predictions_and_embedded_with_their_text(folder, tmp_path, toy):
    image, labels = toy
    case = tmp_path / "predictions" / "Polder" / "Polder_7"
    kept = {"image": image.voxels.astype(np.int16), "truth": labels, "local_Neckar": labels, "federated": labels}
    for name, voxels in kept.items():
        write_nifti(case / f"{name}.nii.gz", Scan(voxels, image.affine))
    (tmp_path / "predictions" / "Neckar" / "without_image").mkdir(parents=True)
    for name in ("cases.csv", "summary.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (picture,) = Page(write_report(tmp_path).read_text(encoding="utf-8")).all("img")
    assert picture["src"].startswith("data:image/png;base64,iVBOR")
    assert "Polder_7" in picture["alt"] and "Neckar alone; federated" in picture["alt"]


def test_a_summary_with_nothing_in_it_still_gives_a_report(folder, tmp_path):
    (tmp_path / "cases.csv").write_bytes((folder / "cases.csv").read_bytes())
    (tmp_path / "summary.json").write_text("{}", encoding="utf-8")
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert all(title not in page.text for title in ("Learning curves", "Contours", "Failures"))
    assert "Main result" in page.text


def test_a_study_from_before_nsd_and_power_still_gives_a_report(folder, tmp_path):
    (tmp_path / "cases.csv").write_bytes((folder / "cases.csv").read_bytes())
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    told = summary["statistics"]
    told["contrasts"] = [found for found in told["contrasts"] if found["measure"] != "nsd"]
    for line in [line for found in told["contrasts"] for line in found["organs"]]:
        del line["shift_interval"]
    for line in told["table"] + told["organ_table"]:
        del line["nsd"]
    del told["power"], told["rules"]["margins"]["nsd"]
    for line in told["home"]:
        del line["difference_seed_sd"]
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    text = Page(write_report(tmp_path).read_text(encoding="utf-8")).text
    assert "NSD" not in text and "Statistical power" not in text and "Main result" in text


@pytest.mark.parametrize("missing", ["cases.csv", "summary.json"])
def test_a_folder_without_a_study_is_refused(folder, tmp_path, missing):
    for name in {"cases.csv", "summary.json"} - {missing}:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(PedsegInputError, match=f"E-NO-STUDY.*{missing}"):
        write_report(tmp_path)


def test_charts_follow_the_page_and_say_more_than_color():
    figure = charts.learning_curves({"a": [(0, 0.0), (10, 1.0)], "b": [(0, 1.0), (10, 0.5)]}, x="steps")
    chart = svg(figure, 'A "chart" & more')
    page = Page(chart)
    assert page.tags[0][1]["role"] == "img" and page.tags[0][1]["aria-label"] == 'A "chart" & more'
    lines = [attributes["style"] for tag, attributes in page.tags if tag == "path"]
    first, second = (next(style for style in lines if f"stroke: var(--c{n})" in style) for n in (0, 1))
    assert "dasharray" not in first and "dasharray" in second
    assert re.search(r"<text[^>]*>steps</text>", chart)  # text stays text
    assert "#000000" not in chart and "#ffffff" not in chart  # readable on a dark page
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) and svg(figure, 'A "chart" & more') == chart


def test_seeds_of_a_learning_curve_are_not_joined(folder, tmp_path):
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    summary["statistics"]["seeds"] = [0, 1]
    summary["curves"]["seed1_federated"] = summary["curves"]["seed0_federated"]
    title, chart = next(learning_curves(summary, summary["statistics"]))
    path = max(re.findall(r'<path d="([^"]+)"[^>]*stroke: var\(--c1\)', chart), key=len)  # the other is the legend's
    assert title == "Training loss" and path.count("M") == 2 and path.count("L") == 2
