"""One's own network: MONAI's by name, a package's by its entry point, on inputs of any size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pedseg.errors import PedsegInputError
from pedseg.learning import inference, training
from pedseg.learning.memory_need import memory_need_mib
from pedseg.learning.network import build, with_network
from pedseg.learning.plans import Plan
from pedseg.learning.preprocessing import prepare
from pedseg.learning.weights import get_weights, load_network, save_weights, set_weights, sha256_of

SEGRESNET = '{"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}'


def test_segresnet_is_that_of_monai_on_padded_input(plan: Plan) -> None:
    from monai.networks.nets import SegResNet

    chosen = with_network(plan, "segresnet", SEGRESNET)
    assert chosen.network == {"kind": "segresnet", **json.loads(SEGRESNET), "multiple": 8}
    ours, theirs = build(chosen, 1).eval(), SegResNet(3, 8, 1, 4, blocks_down=(1, 1), blocks_up=(1,)).eval()
    theirs.load_state_dict({name.removeprefix("network."): value for name, value in ours.state_dict().items()})
    image = torch.randn(1, 1, 11, 16, 7)
    air = (plan.clip_hu[0] - plan.mean_hu) / plan.sd_hu
    padded = torch.full((1, 1, 16, 16, 8), air)
    padded[:, :, :11, :, :7] = image
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(padded)[:, :, :11, :, :7])


def test_a_named_network_learns_and_comes_back_from_its_file(plan: Plan, patient, tmp_path) -> None:
    chosen = Plan.from_json(with_network(plan, "segresnet", SEGRESNET).to_json())
    network, case = build(chosen, 3), prepare(patient[0], chosen, patient[1])
    losses = [step.loss for step in training.train(network, [case], chosen, steps=12, total_steps=12)]
    assert np.mean(losses[-3:]) < losses[0]
    save_weights(tmp_path / "w.safetensors", get_weights(network), chosen)
    again, read = load_network(tmp_path / "w.safetensors")
    assert read == chosen
    assert np.array_equal(inference.predict(network, patient[0], chosen), inference.predict(again, patient[0], read))


def test_swinunetr_pads_to_32_and_its_indices_are_no_weights(plan: Plan) -> None:
    pytest.importorskip("einops", reason="pedseg[networks]")
    chosen = with_network(plan, "swinunetr", '{"feature_size": 12, "depths": [1, 1, 1, 1]}')
    assert chosen.network["multiple"] == 32
    network = build(chosen).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 33, 16, 8)).shape == (1, 4, 33, 16, 8)
        assert network.train()(torch.zeros(1, 1, 9, 16, 8)).shape == (1, 4, 9, 16, 8)
    weights = get_weights(network)
    assert all(array.dtype == np.float32 for array in weights.values()) and memory_need_mib(chosen, [10_000.0]) > 50
    other = build(chosen, 5)
    set_weights(other, weights)
    assert sha256_of(get_weights(other)) == sha256_of(weights)


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("nobodys", "", "E-NETWORK nobodys: no installed package .* segresnet"),
        ("compact", "", "E-NETWORK compact: this name is that of a network of pedseg"),
        ("segresnet", "init_filters=8", "E-NETWORK network-arguments: this is not understood"),
        ("segresnet", '{"norm": "batch"}', "'batch' is no number"),
        ("segresnet", '{"kind": 1}', "no table of arguments"),
        ("segresnet", '{"filters": 8}', "E-NETWORK segresnet: it cannot be used: TypeError.*filters"),
        ("segresnet", '{"spatial_dims": 2}', "E-NETWORK segresnet: it cannot be used"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anybody_trains(plan: Plan, name, arguments, problem) -> None:
    with pytest.raises(PedsegInputError, match=problem):
        with_network(plan, name, arguments)
