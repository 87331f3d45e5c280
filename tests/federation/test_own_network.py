"""A network of somebody's own package is federated, kept, and predicts; a center without that package says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pedseg.datasets.loading import load_image
from pedseg.datasets.reading import read_dataset
from pedseg.errors import PedsegInputError
from pedseg.federation import transports
from pedseg.federation.center_policy import check_plan
from pedseg.federation.config import CenterConfig, FederationConfig
from pedseg.federation.enrollment import Center, check_wishes
from pedseg.learning.fingerprint import fingerprint
from pedseg.learning.inference import predict
from pedseg.learning.network import build
from pedseg.learning.weights import load_network, load_weights, sha256_of

MODULE = """
from torch import nn

def bravo(plan, width=2):
    norm = nn.BatchNorm3d(width)  # counts its batches in a whole number, which is no weight
    return nn.Sequential(nn.Conv3d(1, width, 3, padding=1), norm, nn.ReLU(), nn.Conv3d(width, len(plan.organs) + 1, 1))
"""


def install(folder: Path, name: str = "bravo_net") -> None:
    """What pip leaves of a package with one network."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(MODULE)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[pedseg.networks]\nbravo = {name}:bravo\n")


@pytest.fixture
def package(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """The package is installed; `undo` uninstalls it."""
    install(tmp_path / "packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path / "packages")
        yield patch


def test_a_package_is_federated_and_a_center_without_it_refuses(
    package: pytest.MonkeyPatch, hospitals: Path, tmp_path: Path
) -> None:
    names = {"network": "bravo", "network_arguments": '{"width": 3}'}
    config = FederationConfig(data=hospitals, out=tmp_path / "out", rounds=2, local_steps=2, seed=7, **names)
    *_, last = transports.federate(config)
    assert last.refused == () and last.plan.network == {"kind": "bravo", "width": 3, "multiple": 8}
    network, plan = load_network(tmp_path / "out" / "federated.safetensors")
    weights, _, _ = load_weights(tmp_path / "out" / "federated.safetensors")
    assert sha256_of(weights) == last.sha256 and "network.1.running_mean" in weights
    assert not any("num_batches" in name for name in weights)
    dataset = read_dataset(sorted(hospitals.iterdir())[0])
    (case,) = dataset.split("test")
    assert predict(network, load_image(case), plan).shape == load_image(case).shape
    own, text = fingerprint(dataset, dataset.split("train")), plan.to_json()
    assert check_plan(text, CenterConfig(), own) == plan
    with pytest.raises(PedsegInputError, match="E-POLICY weights of the network"):
        check_plan(text, CenterConfig(max_weights=10), own)
    with pytest.raises(PedsegInputError, match="E-PLAN plan"):
        check_plan(text.replace('"multiple": 8', '"multiple": 5000'), CenterConfig(), own)
    with pytest.raises(PedsegInputError, match="E-POLICY channels"):
        check_plan(text.replace('"width": 3', '"width": 1000000'), CenterConfig(), own)
    package.undo()
    for needs_it in (lambda: check_plan(text, CenterConfig(), own), lambda: build(plan)):
        with pytest.raises(PedsegInputError, match=r"E-NETWORK bravo: no installed package.*the same at every center"):
            needs_it()


def test_two_packages_with_one_name_are_refused(
    package: pytest.MonkeyPatch, config: FederationConfig, tmp_path
) -> None:
    install(tmp_path / "more", "other_net")
    package.syspath_prepend(tmp_path / "more")
    with pytest.raises(PedsegInputError, match="E-NETWORK bravo: 2 installed packages"):
        list(transports.federate(FederationConfig(data=config.data, out=None, network="bravo", rounds=1)))


def test_arguments_of_no_network_are_refused() -> None:
    with pytest.raises(PedsegInputError, match="E-SETTING network-arguments"):
        FederationConfig(network_arguments='{"width": 3}')


def test_too_few_or_too_small_centers_are_told_before_anybody_trains(hospitals: Path) -> None:
    config = FederationConfig(data=hospitals, out=None, strategy="median")
    with pytest.raises(PedsegInputError, match="E-TOO-FEW-CENTERS median: 2 centers"):
        next(transports.federate(config))
    centers = [Center(0, 0, "Aa", 3, None), Center(1, 1, "Bb", 2, None)]  # type: ignore[arg-type]
    with pytest.raises(PedsegInputError, match="E-NO-SCORE"):
        check_wishes(centers, FederationConfig(evaluate_every=1))
    check_wishes([*centers, Center(2, 2, "Cc", 2, None, 3)], FederationConfig(evaluate_every=1))  # type: ignore[arg-type]
