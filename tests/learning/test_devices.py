"""Which number type is computed in, and how one is forced."""

import pytest
import torch

from pedseg.errors import PedsegInputError
from pedseg.learning import devices

CPU = torch.device("cpu")


@pytest.mark.parametrize("forced", ["float32", "bfloat16"])
def test_the_environment_forces_the_number_type(forced, monkeypatch):
    monkeypatch.setenv("PEDSEG_PRECISION", forced)
    assert devices.precision(CPU) == forced
    assert devices.has_bfloat16(CPU) is (forced == "bfloat16")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True}, "float32"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_else_what_the_processor_can_do_decides(capabilities, expected, monkeypatch):
    monkeypatch.delenv("PEDSEG_PRECISION", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert devices.precision(CPU) == expected


def test_another_number_type_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("PEDSEG_PRECISION", "float16")
    with pytest.raises(PedsegInputError, match=r"PEDSEG_PRECISION.*float16"):
        devices.precision(CPU)


def test_the_processor_has_a_name():
    assert devices.processor()
