"""A prior of classes, trained and used as a user does: samples of a class, its evaluation, ScoreVAE on it, and bad input."""

import numpy as np
import pytest

import sde_vae
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.build.labels import labels_of
from sde_vae.cli import main
from sde_vae.commands.evaluate import evaluate_run
from sde_vae.data.dataset import to_bytes
from sde_vae.errors import BadInput
from sde_vae.metrics.sets.frechet import frechet_distance, moments
from sde_vae.reporting.tables import tables

pytestmark = pytest.mark.usefixtures("one_device")
SMALL = {
    **{f"model.{net}.channels": 8 for net in ("prior", "encoder")},
    **{f"model.{net}.multipliers": (1,) for net in ("prior", "encoder")},
    **{f"stages.{stage}.steps": 4 for stage in ("prior", "encoder")},
    **{f"stages.{stage}.checkpoint_every": 4 for stage in ("prior", "encoder")},
    **{f"stages.{stage}.warmup": 0 for stage in ("prior", "encoder")},
    "model.latent_dim": 3,
    "sampling.steps": 3,
    "eval.n": 80,
    "eval.samples": 80,
    "eval.batch_size": 16,
    "eval.evaluators": ("samples", "labels"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("labels") / "run"
    # Far from its zero start, so that labels matter after few steps.
    config = set_fields(load_config("labels_digits"), SMALL | {"stages.prior.learning_rate": 0.03})
    assert sde_vae.train(config, directory)
    return sde_vae.load(directory)


@pytest.mark.slow
def test_samples_of_a_class_have_the_noise_of_the_others(trained):
    plain, of_class = (
        trained.sample(6),
        lambda label, guidance=None, **more: trained.sample(6, label=label, guidance=guidance, **more),
    )
    np.testing.assert_allclose(of_class(3, 0.0), plain, atol=1e-4)
    np.testing.assert_array_equal(of_class(3), of_class(3, 1.0))
    assert np.abs(of_class(3) - plain).max() > 1e-3
    assert np.abs(of_class(3, 4.0) - of_class(3)).max() > 1e-3
    mixed = of_class([3, 3, 3, 5, 5, 5], 2.0)
    np.testing.assert_allclose(mixed[:3], of_class(3, 2.0)[:3], atol=1e-4)
    np.testing.assert_allclose(mixed[3:], of_class(5, 2.0)[3:], atol=1e-4)
    np.testing.assert_allclose(trained.sample(2, start=3, label=3), of_class(3)[3:5], atol=1e-4)


def test_the_command_line_writes_the_samples_of_python(trained, tmp_path):
    out = tmp_path / "threes.npz"
    words = ["--mode", "sample", "--workdir", str(trained.workdir), "--n", "5", "--label", "3", "--guidance", "2"]
    assert main([*words, "--output", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out)["images"], to_bytes(trained.sample(5, label=3, guidance=2.0)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mode", "sample", "--label", "10"], "label: got 10, expected a whole number from 0 to 9"),
        (["--mode", "sample", "--label", "three"], "--label: got 'three', expected a whole number"),
        (
            ["--mode", "sample", "--label", "3", "--guidance", "much"],
            "--guidance: got 'much', expected a finite number",
        ),
        (["--mode", "sample", "--label", "3", "--guidance", "nan"], "--guidance: got 'nan', expected a finite number"),
        (["--mode", "sample", "--guidance", "2"], "guidance: got 2.0 without a label"),
        (["--mode", "eval", "--label", "3"], "--label: belongs to --mode sample, not to eval"),
        (["--mode", "eval", "--guidance", "3"], "--guidance: belongs to --mode sample, not to eval"),
        (["--mode", "sample", "--config.labels.dropout=0"], "config.labels.dropout: got '0', expected a number"),
    ],
)
def test_bad_input_is_refused_in_a_line(trained, tmp_path, capsys, words, message):
    assert main(["--workdir", str(trained.workdir), *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_run_without_labels_has_no_classes():
    with pytest.raises(BadInput, match="label: got 3, but this run was trained without labels"):
        sde_vae.load("digits").sample(1, label=3)
    with pytest.raises(BadInput, match="got labels, but diffusion model was trained without labels"):
        build(set_fields(load_config("prior_digits"), {"eval.evaluators": "labels"}))


@pytest.mark.parametrize(
    ("label", "guidance", "message"),
    [
        (-1, None, "label: got -1, expected a whole number from 0 to 9"),
        (3.0, None, "label: got 3.0, expected a whole number"),
        ([1, 2], None, r"label: got an array of shape \(2,\), expected one label, or 3"),
        (3, np.inf, "guidance: got inf"),
    ],
)
def test_a_class_that_is_none_is_refused(trained, label, guidance, message):
    with pytest.raises(BadInput, match=message):
        trained.sample(3, label=label, guidance=guidance)


def test_the_evaluation_has_fidelity_and_diversity_at_each_guidance(trained):
    folder, metrics = evaluate_run(trained)
    for at in ("0", "1", "2", "4", "8", "reference"):
        for name in ("accuracy", "variance", "fd_pixels", "class_fd_pixels"):
            assert np.isfinite(metrics[f"labels/{name}/{at}"])
        assert np.isfinite(metrics[f"labels/class_fd_pixels/{at}/7"])
    assert metrics["labels/n"] == metrics["labels/reference_n"] == 80
    assert metrics["labels/accuracy/reference"] > 0.9
    assert 0.8 < metrics["labels/variance/reference"] < 1.2
    # By hand, from the pixels: whatever else was evaluated before.
    data = trained.experiment.load()
    of = lambda split, n: data.splits[split].images[:n][data.splits[split].attributes[:n, 0] == 7]
    pixels = [np.round(x.reshape(len(x), -1) * (255 / 16)) / 255 for x in (of("test", 80), of("train", None))]
    expected = frechet_distance(*map(moments, pixels))
    np.testing.assert_allclose(metrics["labels/class_fd_pixels/reference/7"], expected, rtol=1e-3)
    # Without labels the samples are those of the prior.
    np.testing.assert_allclose(metrics["labels/fd_pixels/0"], metrics["samples/fd_pixels"], rtol=1e-3)
    assert {path.name for path in folder.glob("label*.png")} == {"labels.png", "label_samples.png"}
    (table,) = (table for table in tables(metrics) if "of given classes" in table.title)
    assert [name for name, _ in table.rows] == [*(f"guidance {w}" for w in (0, 1, 2, 4, 8)), "test images"]
    assert all(value is not None for _, cells in table.rows for value, _ in cells)


@pytest.mark.slow
def test_score_vae_stands_on_a_prior_of_classes(trained, tmp_path):
    """Its encoder on the score without the class; its samples of a class are the prior's own."""
    changes = {"method": "score_vae", "prior.checkpoint": str(trained.workdir), "model.encoder.channels": 4}
    assert sde_vae.train(set_fields(trained.config, changes), tmp_path)
    run = sde_vae.load(tmp_path)
    np.testing.assert_allclose(
        run.sample(3, label=3, guidance=2.0), trained.sample(3, label=3, guidance=2.0), atol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels.attribute": "digt"},
            "config.labels.attribute: got 'digt', which digits lacks; expected one of digit",
        ),
        ({"labels.classes": 9}, "config.labels.classes: got 9, but digit has values up to 9; set 10 or more"),
        ({"model.prior.body": "unet2d"}, "config.labels.attribute: got 'digit', but config.model.prior.body=unet2d"),
        (
            {"method": "score_vae", "stages.correction.steps": 1, "model.correction.body": "head"},
            "config.model.correction.body: got head, expected unet",
        ),
        ({"labels.classes": 12, "prior.checkpoint": True}, "was trained with config.labels.classes 10, expected 12"),
        ({"labels.attribute": "", "prior.checkpoint": True}, "prior/checkpoints/4: a checkpoint of another network"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_training(trained, tmp_path, changes, message):
    if "prior.checkpoint" in changes:
        changes = changes | {"prior.checkpoint": str(trained.workdir), "eval.evaluators": "samples"}
    with pytest.raises(BadInput, match=message):
        sde_vae.train(set_fields(trained.config, changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_attributes_that_are_no_classes_are_refused():
    config = load_config("labels_digits")
    data = build(config).load()
    assert labels_of(load_config("prior_digits"), data, "train") is None
    np.testing.assert_array_equal(labels_of(config, data, "test"), data.splits["test"].attributes[:, 0])
    split = data.splits["train"]
    for wrong in (split.attributes + 0.5, split.attributes - 1, split.attributes * np.nan):
        of_wrong = data._replace(splits={"train": split._replace(attributes=wrong)})
        with pytest.raises(BadInput, match=r"config\.labels\.attribute: got 'digit', which has values from"):
            labels_of(config, of_wrong, "train")
    with pytest.raises(BadInput, match="these data have no attributes"):
        labels_of(config, data._replace(splits={"train": split._replace(attributes=None)}, attributes=()), "train")
