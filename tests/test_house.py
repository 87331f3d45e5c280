"""The house keeps its rules: floors, light imports, module sizes, nothing private and nothing unsafe in the files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

# From the ground up; rooms on the same floor do not import each other.
FLOORS = [
    ("ground",), ("datasets",), ("phantoms", "dicom", "learning"), ("importing", "federation"), ("evaluation",),
    ("workbook",), ("viewer",), ("site",), ("cli",), ("__main__",),
]  # fmt: skip
GROUND = {
    "__init__",
    "organs",
    "organ_names",
    "errors",
    "files",
    "tables",
    "scan",
    "metrics",
    "memory",
    "processes",
    "resources",
}
LONGEST_MODULE = 300  # lines; the aim is 200
LONGEST_FUNCTION = 30  # lines without its docstring; the aim is 12
LONG_FUNCTIONS = {  # and why they are
    "datasets/nnunet.py:_read_labels": "one finding after the other",
    "datasets/writing.py:write_case": "one field of the case's row after the other",
    "dicom/rtstruct_writing.py:_dataset": "one line an attribute of the DICOM module",
    "dicom/seg.py:_segmentation": "one call with all that highdicom asks for",
    "dicom/slice_geometry.py:_slice": "one line an attribute of the slice",
    "viewer/controls.py:__init__": "one widget after the other",
    "viewer/correction_panel.py:__init__": "one widget after the other",
    "viewer/files_panel.py:__init__": "one widget after the other",
    "viewer/shortcuts.py:shortcut_actions": "one key after the other",
}

# Which rooms and modules may import which heavy package.
HOMES = {
    "torch": ("learning/", "federation/"),
    "monai": ("learning/", "federation/"),
    "flwr": ("federation/",),
    "ray": ("federation/",),
    "ipywidgets": ("workbook/slice_viewer.py", "workbook/lesson.py", "viewer/"),
    "itkwidgets": ("viewer/itk.py",),
    "anywidget": ("viewer/slices.py", "viewer/failure_panel.py"),
    "k3d": ("viewer/view_3d.py",),
    "playwright": ("viewer/browser.py",),
    "sphinx": ("site/build.py",),
    "jupyter_cache": ("site/execution.py",),
    "pydicom": ("dicom/", "importing/"),
    "highdicom": ("dicom/seg.py",),
}


def modules(root: Path) -> list[Path]:
    return sorted((root / "pedseg").rglob("*.py"))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def floor(module: str) -> str:
    """The floor of a module, from its dotted name behind `pedseg.`; `phantoms.phantom` is on `phantoms`."""
    first = module.split(".")[0]
    return "ground" if first in GROUND or not first else first


def imports(file: Path) -> list[str]:
    """Dotted names that a file imports, at its top or inside a function."""
    names: list[str] = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import in line {node.lineno}"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def level(room: str) -> int:
    """How high a room lies, from 0."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def climbs(importer: str, imported: str) -> bool:
    """Whether a module imports from above its own floor, or from another room of its floor."""
    here, there = floor(importer), floor(imported)
    return here != there and level(there) >= level(here)


def test_every_room_is_a_floor(root):
    assert {
        floor(str(file.relative_to(root / "pedseg").with_suffix("")).replace("/", ".")) for file in modules(root)
    } <= {room for rooms in FLOORS for room in rooms}


def test_no_module_imports_from_a_floor_above(root):
    climbing = []
    for file in modules(root):
        importer = ".".join(file.relative_to(root / "pedseg").with_suffix("").parts)
        own = [name.removeprefix("pedseg").lstrip(".") for name in imports(file) if name.split(".")[0] == "pedseg"]
        # `from pedseg import __version__` names no module.
        climbing += [f"{importer} -> {name}" for name in own if name != "__version__" and climbs(importer, name)]
    assert climbing == []


@pytest.mark.parametrize(
    ("importer", "imported", "wrong"),
    [
        ("phantoms.phantom", "organs.by_name", False),
        ("phantoms.phantom", "phantoms.body", False),
        ("organs", "phantoms.phantom", True),
        ("learning.plans", "federation.client_app", True),
        ("learning.plans", "dicom.seg", True),
        ("cli.studies", "workbook.report", False),
    ],
)
def test_the_floor_rule_itself(importer, imported, wrong):
    assert climbs(importer, imported) is wrong


def test_heavy_packages_stay_in_their_rooms(root):
    strays = []
    for file in modules(root):
        place = file.relative_to(root / "pedseg").as_posix()
        heavy = {name.split(".")[0] for name in imports(file)} & HOMES.keys()
        strays += [f"{place} imports {name}" for name in heavy if not place.startswith(HOMES[name])]
    assert strays == []


def test_import_pedseg_is_light():
    heavy = ["torch", "monai", "flwr", "nibabel", "pydicom", "matplotlib", "scipy", "ipywidgets"]
    ours = "pedseg, pedseg.organs, pedseg.errors, pedseg.scan, pedseg.metrics, pedseg.memory, pedseg.processes"
    code = f"import sys, {ours}; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_federation_does_without_what_only_statistics_need():
    heavy = "{'scipy.stats', 'scipy.optimize', 'monai'}"
    code = f"import sys, pedseg.federation.client_app, pedseg.federation.server_app; print({heavy} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"  # 46 MiB where memory is short: beside two hospitals' training


def test_a_chapter_that_trains_nothing_does_without_torch():
    code = "import sys; from pedseg.workbook import lesson; lesson.exercises(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"  # 190 MiB


def test_import_pedseg_brings_few_modules():
    # Time on a shared machine is no measure; what is imported is.
    code = "import sys; before = set(sys.modules); import pedseg; print(*sorted(set(sys.modules) - before))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["pedseg"]


def test_modules_can_be_held_in_the_head(root):
    too_long = {
        file.name: n
        for file in modules(root)
        if (n := len(file.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    }
    assert too_long == {}


def body_lines(function: ast.FunctionDef) -> int:
    """How long a function is, its docstring apart."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    said = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - said


def test_long_functions_have_a_reason(root):
    # How many ways lead through a function counts ruff (C901).
    long = {
        f"{file.relative_to(root / 'pedseg').as_posix()}:{node.name}"
        for file in modules(root)
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef) and body_lines(node) > LONGEST_FUNCTION
    }
    assert long == LONG_FUNCTIONS.keys()


def test_every_module_says_what_it_is_for(root):
    assert [str(f) for f in modules(root) if f.stat().st_size and not ast.get_docstring(tree(f))] == []


def test_the_library_never_prints(root):
    loud: list[str] = []
    for file in modules(root):
        calls = [n for n in ast.walk(tree(file)) if isinstance(n, ast.Call)]
        place = file.relative_to(root / "pedseg").as_posix()
        loud += [f"{place}:{c.lineno}" for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    # The command line speaks to its user, and the lesson to its reader.
    assert [place for place in loud if not place.startswith(("cli/", "__main__.py:", "workbook/lesson.py:"))] == []


def test_nothing_is_unpickled(root):
    unsafe = [
        f"{file.name}: {name}"
        for file in modules(root)
        for name in imports(file)
        if name.split(".")[0] in ("pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
    ]
    for file in modules(root):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "torch.save", "pd.read_pickle"):
                unsafe.append(f"{file.name}:{node.lineno} {ast.unparse(node.func)}")
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                unsafe.append(f"{file.name}:{node.value.lineno} allow_pickle")
    assert unsafe == []


PRIVATE = re.compile(
    r"(?<![\w.~/])/(home|Users|work|root|tmp)/[A-Za-z0-9_.]"  # a path of somebody's machine
    r"|[A-Z]:\\\\?Users|file:///|(?<!\w)(?!127\.|0\.0\.0\.0)\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}:\d"
)


def texts(root: Path) -> list[Path]:
    """Files that people wrote: those git would keep, without data and generated notebooks."""
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True
    )
    listed = [root / line for line in answer.stdout.splitlines()] or [*root.glob("*.*"), *modules(root)]
    kinds = {".py", ".toml", ".md", ".txt", ".yml", ".cff", ".ipynb", ".json", ".tsv", ""}
    return [file for file in listed if file.is_file() and file.suffix in kinds and file.stat().st_size < 1_000_000]


def test_no_path_of_somebodys_machine(root):
    found = []
    for file in texts(root):
        lines = file.read_text(encoding="utf-8").splitlines()
        found += [
            f"{file.relative_to(root)}:{n}: {line.strip()[:80]}"
            for n, line in enumerate(lines, 1)
            if PRIVATE.search(line)
        ]
    assert [line for line in found if not line.startswith("tests/test_house.py")] == []


@pytest.mark.parametrize(
    "line", ["open('/home/ann/ct.nii.gz')", r"C:\Users\ann", "see /tmp/x", "http://10.0.0.7:8080/simple"]
)
def test_the_pattern_finds_private_places(line):
    assert PRIVATE.search(line)


@pytest.mark.parametrize(
    "line", ["https://pypi.org/work/x", "runs/data/case", "127.0.0.1:9092", "../tmp/x", "a/data/b"]
)
def test_the_pattern_leaves_public_places(line):
    assert not PRIVATE.search(line)
