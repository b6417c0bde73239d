"""The parity command on the reference files, where GAN_TF_REFERENCE names their folder."""

import os
import pathlib

import numpy as np
import pytest

from tests.parity import stylegan2
from tests.parity.__main__ import FAMILIES, main
from tests.parity.fastgan import compare
from tests.parity.fid import quantities as fid_quantities
from tests.parity.report import Arrays, Quantity, relative_l2, relative_max, show


def reference(family):
    """Path of the family's file; skips, or fails under CI, where the folder is absent."""
    folder = os.environ.get("GAN_TF_REFERENCE", "")
    path = pathlib.Path(folder, f"{family}_a.npz")
    if not (folder and path.is_file()):
        reason = f"GAN_TF_REFERENCE names no folder with {family}_a.npz"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return str(path)


@pytest.mark.parametrize("family", [pytest.param("fastgan", marks=pytest.mark.slow), *FAMILIES[1:]])
def test_reference_file_is_reproduced(family):
    assert main([family, reference(family)]) == 0


def test_an_output_over_its_bound_fails(capsys):
    stored = Arrays("stored.npz", {"train/loss": np.float32(1.0)})
    assert show(compare("train/", {"loss": np.float32(1.00005)}, stored)) == 0
    assert show(compare("train/", {"loss": np.float32(1.0002)}, stored)) == 1
    assert "OVER THE BOUND" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("quantities", "code"),
    [
        ([Quantity("count", 0, 0)], 0),
        ([Quantity("count", 1, 0)], 1),
        ([Quantity("loss", float("nan"), 1e-4)], 1),
        ([], 1),  # nothing was compared
    ],
)
def test_exit_codes(quantities, code):
    assert show(quantities) == code


def test_an_array_that_is_not_known_fails(capsys):
    stored = Arrays("stored.npz", dict(np.load(reference("fid"))))
    stored["fid/another/pytorch_fid"] = np.float64(1)
    assert [q.name for q in fid_quantities(stored) if not q.passed] == ["fid/another/pytorch_fid (unknown)"]


def test_a_stylegan2_array_that_was_left_out_fails(monkeypatch):
    stored = Arrays("stored.npz", dict(np.load(reference("stylegan2"))))
    monkeypatch.setattr(stylegan2, "_all", lambda arrays, config: [Quantity("out/img_const (noted)", 0, 0)])
    left = {q.name.split(" ")[0] for q in stylegan2.quantities(stored) if not q.passed}
    inputs = {"in/z", "in/real", "g/mapping.w_avg", "pl/y_raw", "op/conv/w3", "op/mbstd_g4_f1/x", "meta_json"}
    outputs = {"out/img_none", "phase_Gmain_w_avg_after", "op/mbstd_g4_f1/out", "op/filter_1331", "pl/jty"}
    assert outputs < left and not left & (inputs | {"out/img_const"})


def test_relative_errors():
    assert relative_l2([3.0, 4.0], [0.0, 5.0]) == pytest.approx(10**0.5 / 5)
    assert relative_max([1.0, -4.0], [1.0, -5.0]) == pytest.approx(0.2)
    assert relative_l2([0.0], [0.0]) == 0
    assert relative_l2([1.0], [0.0]) == np.inf
    assert relative_max([1.0], [[1.0]]) == np.inf


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "usage"), (["pixelcnn", "x.npz"], "unknown family 'pixelcnn'"), (["fastgan", "/absent.npz"], "/absent.npz")],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments, said, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("family", ["fastgan", "pggan", "stylegan2"])
def test_a_file_of_another_family_is_named(family, tmp_path, capsys):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    assert main([family, str(tmp_path / "other.npz")]) == 2
    assert "other.npz" in capsys.readouterr().err
