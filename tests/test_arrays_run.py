"""Vectors, time series and float arrays from a file to the report: trained, evaluated, exported, and in the hand from Python."""

import json

import numpy as np
import pytest

import sde_vae
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.cli import main
from sde_vae.errors import BadInput
from tests.helpers.traced import trace_steps

N = 60
SHAPES = {"vectors": (6,), "series": (5, 2), "latents": (4, 4, 5)}
SMALL = {
    "model.latent_dim": 3,
    **{f"model.{net}.channels": 8 for net in ("prior", "encoder", "decoder", "correction")},
    **{f"model.{net}.blocks": 1 for net in ("prior", "encoder", "decoder", "correction")},
    **{f"stages.{stage}.steps": 2 for stage in ("prior", "encoder")},
    **{f"stages.{stage}.batch_size": 8 for stage in ("prior", "encoder", "correction", "latent")},
    **{f"stages.{stage}.warmup": 0 for stage in ("prior", "encoder", "correction", "latent")},
    "sampling.steps": 2,
    "eval.n": 5,
    "eval.samples": 8,
    "eval.batch_size": 8,
}


def fields(**changes):
    return [f"--config.{name}={value}" for name, value in (SMALL | changes).items()]


def examples(shape):
    x = np.random.default_rng(0).normal(size=(N, *shape))
    return x * 10.0 ** np.arange(shape[-1]) + 100


@pytest.fixture(scope="module", params=("vectors", pytest.param("latents", marks=pytest.mark.slow)))
def trained(request, tmp_path_factory):
    """(a workdir, the file of its data, the data, the shape of an example)."""
    shape, root = SHAPES[request.param], tmp_path_factory.mktemp("arrays")
    x, file = examples(shape), root / "data.npy"
    np.save(file, x)
    config = "scorevae_latents" if len(shape) == 3 else "scorevae_vectors"
    given = fields(**{"data.dir": file, "data.shape": ",".join(map(str, shape))})
    assert main(["--config", config, "--mode", "train", "--workdir", str(root / "run"), *given]) == 0
    return root / "run", file, x, shape


def test_the_commands(trained, tmp_path, capsys):
    run, file, x, shape = trained
    use = lambda mode, *words: main(["--mode", mode, "--workdir", str(run), *map(str, words)])
    kept = json.loads((run / "config.json").read_text())["data"]
    assert (kept["levels"], kept["shape"]) == (0, list(shape))
    assert len(kept["mean"]) == len(kept["std"]) == shape[-1]

    assert use("eval") == 0
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert {
        "reconstruction/l2",
        "reconstruction/mse",
        "reconstruction/standardised_mse",
        "baseline/pca/mse",
        "moments/mean_error",
        "moments/covariance_error_reference",
        "sliced_wasserstein/w2",
        "nll_bound/total",
        "prior/nll_bound/total",
        "latent/active_units",
    } <= metrics.keys()
    assert not any("bits_per_dim" in name or "psnr" in name for name in metrics)
    assert metrics["nll_bound/total_per_dimension"] == pytest.approx(metrics["nll_bound/total"] / np.prod(shape))
    terms = ("kl", "prior", "diffusion", "reconstruction")
    assert sum(metrics[f"nll_bound/{term}"] for term in terms) == pytest.approx(metrics["nll_bound/total"], rel=1e-5)
    # The mean of the training split, in standardised units and in those of the file: 1 up to the sampling of five examples.
    assert 0.3 < metrics["baseline/mean/standardised_mse"] < 3
    assert (run / "eval" / "report.html").is_file()
    with np.load(run / "eval" / "reconstructions.npz") as shown:
        assert any(np.allclose(shown["original"][0], row, rtol=1e-5) for row in x)

    assert use("sample", "--n", 3, "--output", tmp_path / "new.npz") == 0
    with np.load(tmp_path / "new.npz") as new:
        assert (new["examples"].shape, new["examples"].dtype) == ((3, *shape), np.float32)
    assert use("encode", "--input", file, "--output", tmp_path / "codes.npz") == 0
    with np.load(tmp_path / "codes.npz") as codes:
        assert codes["mean"].shape == (N, 3)
        assert codes["names"][0] == "data_00"
    assert use("reconstruct", "--input", "test", "--output", tmp_path / "again.npz") == 0
    with np.load(tmp_path / "again.npz") as again:
        assert again["examples"].shape == (6, *shape)
    # Without --output it is a .npz, too.
    assert use("sample", "--n", 2) == 0
    assert (run / "samples.npz").is_file()
    capsys.readouterr()
    assert use("sample", "--n", 2, "--output", tmp_path / "pictures") == 2
    assert "these data are no pictures; give a file that ends in .npz" in capsys.readouterr().err


def test_in_the_hand_everything_has_the_files_units(trained):
    directory, _, x, shape = trained
    run = sde_vae.load(directory)
    own = run.images("test", 4)
    assert all(any(np.allclose(row, other, rtol=1e-5) for other in x) for row in own)
    q = run.encode(own)
    # float64, float32 and lists are the same examples.
    np.testing.assert_array_equal(run.encode(own.astype(np.float64).tolist()).mean, q.mean)
    decoded, again = run.decode(q.mean), run.reconstruct(own)
    sampled = run.sample(5)
    for found in (decoded, again, sampled):
        assert found.shape[1:] == shape
        assert found.dtype == np.float32
    # An untrained model's samples have the moments of the terminal law at most: the last channel is far larger than the first.
    spread = np.abs(sampled - 100).reshape(-1, shape[-1]).mean(axis=0)
    assert spread[-1] > 5 * spread[0]
    # The whole line: what the model sees is the standardised example.
    np.testing.assert_allclose(run.units.to_user(run.units.from_user(own, shape)), own, rtol=1e-6, atol=1e-4)
    assert run.interpolate(own[0], own[1], frames=3).shape == (3, *shape)
    assert run.traverse(own[0], 1, values=[0.0, 1.0]).shape == (2, *shape)
    assert run.invert(own).reconstruction.shape == own.shape


def test_the_bound_in_other_units_differs_by_the_log_of_the_scale(trained):
    directory, _, _, shape = trained
    run = sde_vae.load(directory)
    own = run.images("test", 4)
    bound = run.nll_bound(own, draws=2)
    np.testing.assert_allclose(bound.total, bound.kl + bound.prior + bound.diffusion + bound.reconstruction, rtol=1e-4)
    # The same run on the same numbers in other units: a thousandth of each.
    other = sde_vae.load(directory)
    other.scaling = run.scaling._replace(mean=run.scaling.mean / 1000, std=run.scaling.std / 1000)
    np.testing.assert_allclose(
        other.nll_bound(own.astype(np.float64) / 1000, draws=2).total,
        bound.total - np.prod(shape) * np.log(1000),
        rtol=1e-3,
    )
    with pytest.raises(BadInput, match="bits_per_dim: these data have no grey levels but a density; take nll_bound"):
        run.bits_per_dim(own)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, ..., :-1], r"x: got an array of shape .*, expected \[n, "),
        (lambda x: np.full_like(x, np.nan), "not finite"),
        (lambda x: x.astype(complex), "got complex128"),
        (lambda x: x[:0], "n at least 1"),
        (lambda x: np.float32(3), r"shape \(\)"),
        (lambda x: x.astype(str), "got <U"),
    ],
)
def test_what_does_not_fit_is_refused(trained, change, message):
    run = sde_vae.load(trained[0])
    with pytest.raises(BadInput, match=message):
        run.encode(change(run.images("test", 2)))


def test_other_data_are_refused_before_the_run_forgets_its_units(trained, tmp_path, capsys):
    directory, _, x, _ = trained
    np.save(tmp_path / "other.npy", 2 * x)
    before = (directory / "config.json").read_bytes()
    assert main(["--mode", "train", "--workdir", str(directory), f"--config.data.dir={tmp_path / 'other.npy'}"]) == 2
    assert "was trained on data with another mean and standard deviation" in capsys.readouterr().err
    assert (directory / "config.json").read_bytes() == before
    capsys.readouterr()
    # So are those to evaluate, which have the same shape.
    assert main(["--mode", "eval", "--workdir", str(directory), f"--config.data.dir={tmp_path / 'other.npy'}"]) == 2
    assert "it was trained on other data" in capsys.readouterr().err


def of(shape, **changes):
    return set_fields(load_config("scorevae_vectors"), SMALL | {"data.shape": shape} | changes)


METHODS = {
    "correction": {"stages.correction.steps": 2},
    "head": {"stages.correction.steps": 2, "model.correction.body": "head"},
    "lifted": {"model.encoder.input": "filtered", "model.encoder.num_statistics": 2},
    "denoised": {"model.encoder.input": "denoised"},
    "beta_vae": {"method": "beta_vae", "model.likelihood.learn_log_var": True},
    "diffuse_vae": {"method": "diffuse_vae", "sampling.prior_above": 0.0},
    "diff_decoder": {"method": "diff_decoder", "loss.latent_dropout": 0.1},
    "latent prior": {"stages.latent.steps": 2},
}
SERIES = ("head", "lifted", "beta_vae", "diff_decoder")
CASES = [("vectors", name) for name in METHODS] + [("series", name) for name in SERIES]


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_every_method_traces(kind, method):
    shape, changes = SHAPES[kind], METHODS[method]
    experiment = build(of(shape, **changes))
    assert experiment.shape == shape
    trace_steps(experiment)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.shape": ()}, r"config.data.shape: got \(\), expected the shape of one example"),
        ({"data.shape": (2, 2, 2, 2)}, r"config.data.shape: got \(2, 2, 2, 2\)"),
        ({"data.shape": (65536, 65536)}, "at most 16777216 numbers"),
        (
            {"data.shape": (5, 4, 2)},
            "config.data.shape: got .*, whose height 5 config.model.prior.multipliers halve 1 times",
        ),
        (
            {"eval.evaluators": "samples"},
            "got samples, which is not defined for arrays; for these there are reconstruction, ",
        ),
        ({"eval.evaluators": "bits_per_dim"}, "got bits_per_dim, which is not defined for arrays"),
        ({"synthetic.n": 8}, "config.synthetic.n: got 8, expected 0"),
    ],
)
def test_a_wrong_config_is_refused_by_its_field(changes, message):
    with pytest.raises(BadInput, match=message):
        build(of((6,), **changes))


@pytest.mark.parametrize("name", ["moments", "sliced_wasserstein", "nll_bound"])
def test_evaluators_of_arrays_are_refused_for_images(name):
    with pytest.raises(
        BadInput, match=f"got {name}, which is not defined for images; for these there are reconstruction, "
    ):
        build(set_fields(load_config("scorevae_digits"), {"eval.evaluators": name}))
