"""A model's identity stands in its weights' metadata: no name of a file and no display name decides it."""

from __future__ import annotations

import numpy as np
import pytest

from pedseg.errors import PedsegInputError
from pedseg.evaluation import trained_models
from pedseg.evaluation.results import ModelKey
from pedseg.evaluation.trained_models import LazyPredictions, find_weights, load_model, read_identity, weight_files
from pedseg.learning import inference
from pedseg.learning.network import build
from pedseg.learning.weights import get_weights, save_weights

LOCAL, FEDERATED = ModelKey("local", "Polder"), ModelKey("federated", "Neckar+Polder")


def save(folder, plan, name, key, seed=0):
    identity = {"model": key.model, "trained_on": key.trained_on, "seed": seed}
    save_weights(folder / f"{name}.safetensors", get_weights(build(plan, seed)), plan, **identity)


@pytest.fixture
def study(coarse_plan, tmp_path):
    """Weights of three untrained models, with names of files that say something else."""
    save(tmp_path / "weights", coarse_plan, "seed0_federated_gin", LOCAL)
    save(tmp_path / "weights", coarse_plan, "seed1_local_Polder", FEDERATED)
    save(tmp_path / "weights", coarse_plan, "seed0_x", FEDERATED, seed=1)
    return tmp_path


def test_the_metadata_say_which_model_it_is_whatever_the_file_is_called(study):
    files = weight_files(study)
    assert list(files) == [FEDERATED, LOCAL]
    assert files[FEDERATED].name == "seed1_local_Polder.safetensors"
    assert list(weight_files(study / "weights")) == [FEDERATED, LOCAL]
    assert list(weight_files(study, seed=1)) == [FEDERATED] and weight_files(study, seed=2) == {}


def test_a_model_with_gin_is_no_center_called_gin(coarse_plan, tmp_path):
    with_gin = ModelKey("federated_gin", "Polder+Fjord")
    save(tmp_path, coarse_plan, f"seed0_{with_gin.file_name}", with_gin)
    assert read_identity(tmp_path / "seed0_federated_gin.safetensors") == (with_gin, 0)
    assert list(weight_files(tmp_path)) == [with_gin]


def test_a_center_may_be_called_like_a_display_name(coarse_plan, tmp_path):
    """Two models that print alike stay two: no title is a key."""
    odd, federated = ModelKey("local_gin", "federated"), ModelKey("local_gin", "A alone_B")
    for number, key in enumerate((odd, federated)):
        save(tmp_path, coarse_plan, f"seed0_{number}", key)
    assert str(odd) == str(federated)
    assert set(weight_files(tmp_path)) == {odd, federated}


def test_a_model_is_found_by_kind_and_center(study):
    files = weight_files(study)
    assert find_weights(study, "federated") == files[FEDERATED]
    assert find_weights(study, "local", "Polder") == files[LOCAL]
    with pytest.raises(PedsegInputError, match=r"(?s)E-NO-WEIGHTS.*local Neckar"):
        find_weights(study, "local", "Neckar")


def test_a_loaded_model_knows_which_it_is(study):
    model = load_model(find_weights(study, "federated", seed=1))
    assert (model.key, model.seed) == (FEDERATED, 1)


def test_weights_without_an_identity_are_refused(coarse_plan, tmp_path):
    save_weights(tmp_path / "seed0_federated.safetensors", get_weights(build(coarse_plan)), coarse_plan)
    with pytest.raises(PedsegInputError, match="E-NO-IDENTITY"):
        weight_files(tmp_path)


def test_a_prediction_is_made_when_it_is_looked_up_and_only_once(study, tiny_case, monkeypatch):
    calls = []
    predict = inference.predict
    monkeypatch.setattr(trained_models.inference, "predict", lambda *given: calls.append(given) or predict(*given))
    image, _ = tiny_case(0, 60.0)
    files = weight_files(study)
    predictions = LazyPredictions(image, {**files, "as they lie": files[LOCAL]}, {"as they lie": "none"})
    assert list(predictions) == [FEDERATED, LOCAL, "as they lie"] and len(predictions) == 3 and not calls
    first = predictions[FEDERATED]
    assert first is predictions[FEDERATED] and len(calls) == 1
    model = load_model(files[FEDERATED])
    assert np.array_equal(first, predict(model.network, image, model.plan))
    assert predictions["as they lie"].shape == image.shape and calls[1][2].orientation == "none"
