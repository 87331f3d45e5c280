"""Networks: folding loses nothing, weights travel whole, the seed decides."""

import numpy as np
import pytest
import torch

from pedseg.errors import PedsegInputError
from pedseg.learning import compact_unet, network
from pedseg.learning.weights import get_weights, set_weights, sha256_of


def test_fold_is_inverted_by_unfold_and_keeps_neighbors_together():
    volume = torch.arange(4 * 4 * 2, dtype=torch.float32).reshape(1, 1, 4, 4, 2)
    folded = compact_unet.space_to_depth(volume)
    assert folded.shape == (1, 1, 8, 2, 2, 1)
    torch.testing.assert_close(compact_unet.depth_to_space(folded), volume)
    assert set(folded[0, 0, :, 0, 0, 0].tolist()) == set(volume[0, 0, :2, :2, :2].flatten().tolist())


@pytest.mark.parametrize(("profile", "shape"), [("lesson", (1, 4, 8, 12, 12, 8)), ("clinic", (1, 4, 24, 24, 16))])
def test_output_shapes(make_plan, profile, shape):
    net = network.build(make_plan(profile)).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 1, 24, 24, 16)).shape == shape


def test_initial_weights_depend_on_the_seed_alone(make_plan):
    plan = make_plan()
    torch.manual_seed(1)
    first = get_weights(network.build(plan, 7))
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    again = get_weights(network.build(plan, 7))
    assert torch.equal(before, torch.random.get_rng_state()), "building must not disturb the caller's random numbers"
    assert sha256_of(first) == sha256_of(again)
    assert sha256_of(first) != sha256_of(get_weights(network.build(plan, 8)))


def test_weights_travel_whole_and_as_copies(make_plan):
    plan = make_plan()
    source, target = network.build(plan, 1), network.build(plan, 2)
    weights = get_weights(source)
    set_weights(target, weights)
    assert sha256_of(get_weights(target)) == sha256_of(weights)
    name = next(iter(weights))
    weights[name] += 1
    assert not np.array_equal(weights[name], get_weights(source)[name])


def test_sha256_sees_names_and_shapes():
    a = {"a": np.zeros((2, 3), np.float32)}
    assert sha256_of(a) != sha256_of({"b": a["a"]})
    assert sha256_of(a) != sha256_of({"a": a["a"].reshape(3, 2)})
    assert sha256_of({"a": a["a"], "b": a["a"]}) == sha256_of({"b": a["a"], "a": a["a"]})


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("batch", [1, 2])
def test_convolutions_of_a_single_sample_equal_pytorchs(batch, stride):
    """One sample takes another way to the same kernel as two; both must give what `nn.Conv3d` gives."""
    torch.manual_seed(0)
    ours = compact_unet._Conv3d(5, 4, 3, stride, 1, bias=False)
    theirs = torch.nn.Conv3d(5, 4, 3, stride, 1, bias=False)
    theirs.load_state_dict(ours.state_dict())
    images = [torch.randn(batch, 5, 9, 8, 7), None]
    images[1] = images[0].clone()
    results = []
    for conv, image in zip((ours, theirs), images, strict=True):
        image.requires_grad_()
        output = conv(image)
        output.square().sum().backward()
        results.append((output.detach(), image.grad, conv.weight.grad))
    for mine, reference in zip(*results, strict=True):
        assert torch.allclose(mine, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("profile", ["lesson", "clinic"])
def test_personal_weights_are_those_of_the_norms_or_of_what_gives_the_logits(make_plan, profile):
    net = network.build(make_plan(profile))
    weights = get_weights(net)
    norms, head = (network.personal_names(net, kind) for kind in ("norms", "head"))
    assert norms and head and not norms & head and norms | head < set(weights)
    assert all(weights[name].ndim == 1 for name in norms)
    fresh = {name for name, array in weights.items() if array.ndim == 1 and len(set(array)) == 1}
    assert norms <= fresh  # scales of 1 and offsets of 0
    parts = 4 * 8 if profile == "lesson" else 4  # classes, times the voxels that the stem folds
    assert {len(weights[name]) for name in head} == {parts}
    shared = {name for name, tensor in net.state_dict().items() for other in norms | head
              if tensor.data_ptr() == net.state_dict()[other].data_ptr()}  # fmt: skip
    assert shared == norms | head  # also where a weight has two names


def test_a_network_without_norms_keeps_none_to_itself():
    with pytest.raises(PedsegInputError, match="E-PERSONAL-WEIGHTS"):
        network.personal_names(torch.nn.Linear(2, 2), "norms")
