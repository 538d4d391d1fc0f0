"""The commands, run as a user runs them: resuming, stopping, and bad input."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import sde_vae
from sde_vae import files
from sde_vae.build import stages
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.build.fields import default_config
from sde_vae.build.workdirs import check_config, trained_config
from sde_vae.cli import main
from sde_vae.commands import export
from sde_vae.commands.evaluate import evaluation_folder, with_effect
from sde_vae.errors import BadInput
from sde_vae.keyed_folder import as_key, write_key
from sde_vae.training import workdir
from sde_vae.training.checkpoints import Checkpoints
from sde_vae.training.logs import read
from sde_vae.training.renamed_fields import RENAMED
from sde_vae.training.train_state import adam, init_state
from tests.helpers import compiling

ROOT = Path(__file__).parent.parent
MAIN = [sys.executable, "main.py"]
TINY = {"channels": 8, "multipliers": (1,)}
SMALL = {
    **{f"model.{net}.{field}": value for net in ("prior", "encoder") for field, value in TINY.items()},
    "model.latent_dim": 3,
    "stages.prior.steps": 12,
    "stages.encoder.steps": 12,
    "stages.prior.checkpoint_every": 4,
    "stages.encoder.checkpoint_every": 4,
    "stages.prior.log_every": 1,
    "stages.encoder.log_every": 1,
    "stages.prior.warmup": 2,
    "stages.encoder.warmup": 2,
    "sampling.steps": 3,
    "eval.n": 9,
    "eval.samples": 16,
    "eval.batch_size": 8,
}


def command(mode, workdir, config="scorevae_digits", **changes):
    fields = SMALL | changes
    return [
        *MAIN,
        *("--config", f"configs/{config}.py", "--mode", mode, "--workdir", str(workdir)),
        *(f"--config.{name}={value}" for name, value in fields.items()),
    ]


def use(capsys, *words):
    """(exit code, stdout, stderr) of a command inside this process: it spares the start of Python and JAX."""
    code = main(list(map(str, words)))
    out, err = capsys.readouterr()
    return code, out, err


def start(args):
    return subprocess.Popen(
        list(map(str, args)),
        cwd=ROOT,
        env=compiling.one_device(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(args):
    process = start(args)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def wait_for(condition, process, seconds=200):
    deadline = time.time() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.time() < deadline, "timed out"
        time.sleep(0.02)


def logged(workdir, stage):
    rows = read(workdir / stage / "metrics.jsonl")
    return [{k: v for k, v in row.items() if k != "steps_per_second"} for row in rows]


def final_state(workdir, stage):
    config = set_fields(load_config("scorevae_digits"), SMALL)
    spec = {s.name: s for s in build(config).stages}[stage]
    abstract = jax.eval_shape(lambda key: init_state(spec.method, spec.optimiser, key), jax.random.key(0))
    with Checkpoints(workdir / stage / "checkpoints", stage) as checkpoints:
        return checkpoints.restore_latest(abstract)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never stopped."""
    workdir = tmp_path_factory.mktemp("whole")
    code, _, err = run(command("train", workdir))
    assert code == 0, err
    return workdir


def assert_same_run(workdir, whole):
    for stage in ("prior", "encoder"):
        assert logged(workdir, stage) == logged(whole, stage)
        assert [row["step"] for row in logged(whole, stage)] == list(range(1, 13))
        a, b = final_state(workdir, stage), final_state(whole, stage)
        assert int(a.step) == 12
        jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_never_killed(whole, tmp_path):
    for stage, step in [("prior", 6), ("encoder", 1), ("encoder", 9)]:
        process = start(command("train", tmp_path))
        wait_for(lambda stage=stage, step=step: len(logged(tmp_path, stage)) >= step, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    code, _, err = run(command("train", tmp_path))
    assert code == 0, err
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(whole, tmp_path):
    process = start(command("train", tmp_path, **{"stages.prior.checkpoint_every": 1000}))
    wait_for(lambda: len(logged(tmp_path, "prior")) >= 2, process)
    process.terminate()
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert "stopped by SIGTERM" in out
    assert [p.name for p in (tmp_path / "prior" / "checkpoints").iterdir()] == [str(len(logged(tmp_path, "prior")))]
    assert run(command("train", tmp_path))[0] == 0
    assert_same_run(tmp_path, whole)


@pytest.fixture(scope="module")
def evaluated(whole):
    """What the evaluation of the whole run printed."""
    code, out, err = run(command("eval", whole))
    assert code == 0, err
    return out


def test_evaluation_writes_what_the_contract_names(whole, evaluated):
    metrics = json.loads((whole / "eval" / "metrics.json").read_text())
    expected = {"baseline/pca/l2", "baseline/mean_image/l2", "n", "seed"}
    expected |= {f"reconstruction/{metric}" for metric in ("l2", "mse", "psnr", "nfe")}
    expected |= {f"reconstruction_of_mean/{metric}_stderr" for metric in ("l2", "mse", "psnr")}
    expected |= {f"bits_per_dim/{term}" for term in ("total", "kl", "prior", "diffusion", "reconstruction")}
    assert expected <= metrics.keys()
    assert (metrics["n"], metrics["reconstruction/nfe"]) == (9, 4)
    total = sum(metrics[f"bits_per_dim/{term}"] for term in ("kl", "prior", "diffusion", "reconstruction"))
    np.testing.assert_allclose(metrics["bits_per_dim/total"], total, rtol=1e-6)
    page = (whole / "eval" / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 9
    # Self-contained: nothing is fetched.
    assert not re.findall(r"(?:src|href)=.https?:", page)
    assert "ScoreVAE" in evaluated
    assert str(whole / "eval" / "report.html") in evaluated
    assert not (whole / "eval" / ".resume").exists()


@pytest.mark.slow
def test_an_evaluation_that_was_killed_goes_on_and_ends_the_same(whole, evaluated, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(whole, again, ignore=shutil.ignore_patterns("eval"))
    process = start(command("eval", again))
    wait_for(lambda: (again / "eval" / ".resume" / "reconstruct_from_the_mean").is_dir(), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (made,) = (again / "eval" / ".resume" / "reconstruct").glob("000000_*.npz")
    before = made.stat().st_mtime_ns
    process = start(command("eval", again))
    wait_for(lambda: (again / "eval" / "evaluators" / "reconstruction").exists(), process)
    assert made.stat().st_mtime_ns == before
    process.communicate(timeout=200)
    assert process.returncode == 0
    a, b = (json.loads((w / "eval" / "metrics.json").read_text()) for w in (whole, again))
    for metrics in (a, b):
        for name in [name for name in metrics if name.startswith("seconds/")]:
            del metrics[name]
    assert a == b


@pytest.mark.parametrize(
    ("name", "modes", "evaluators"),
    [
        pytest.param("scorevae_plus", ("train", "eval"), ("reconstruction", "multi_sample"), marks=pytest.mark.slow),
        pytest.param("diffdecoder", ("train", "eval"), ("reconstruction", "bits_per_dim"), marks=pytest.mark.slow),
        pytest.param(
            "betavae",
            ("train", "eval", "sample"),
            ("reconstruction", "samples", "bits_per_dim", "latents", "latent_prior"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_other_methods(name, modes, evaluators, tmp_path):
    small = {f"model.{net}.{field}": value for net in ("decoder", "correction") for field, value in TINY.items()}
    small |= {f"stages.{stage}.steps": 3 for stage in ("prior", "encoder")} | {"model.latent_prior.hidden": 16}
    small |= {"stages.correction.steps": 3 if name == "scorevae_plus" else 0}
    small |= {"stages.latent.steps": 3 if "latent_prior" in evaluators else 0, "eval.evaluators": str(evaluators)}
    for mode in modes:
        code, _, err = run(command(mode, tmp_path, config=f"{name}_digits", **small))
        assert code == 0, err
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics["reconstruction/nfe"] == (1 if name == "betavae" else 4)
    assert ("one_step/l2" in metrics) == ("multi_sample" in evaluators)
    if name == "betavae":
        assert metrics["bits_per_dim/diffusion"] == 0
        assert "prior/bits_per_dim/total" not in metrics
        assert all(f"latent_prior/{prior}/fd_pixels" in metrics for prior in ("normal", "gaussian", "diffusion"))
        assert len(list((tmp_path / "samples").glob("*.png"))) == 64


def test_sampling(whole, tmp_path, capsys):
    """As one array or as files, the same images; another seed gives others; what is there is not overwritten."""
    sample = lambda *words: use(capsys, "--mode", "sample", "--workdir", whole, "--n", 5, *words)
    array, folder, other = tmp_path / "a.npz", tmp_path / "b", tmp_path / "c.npz"
    for out in (array, folder):
        code, _, err = sample("--output", out)
        assert code == 0, err
    assert sample("--output", other, "--sample_seed", 3)[0] == 0
    images = np.load(array)["images"]
    assert (images.shape, images.dtype) == ((5, 8, 8, 1), np.uint8)
    files = sorted(folder.glob("*.png"))
    np.testing.assert_array_equal(np.stack([np.asarray(Image.open(f)) for f in files]), images[..., 0])
    assert np.any(np.load(other)["images"] != images)
    for out in (array, folder):
        assert_refused(sample("--output", out), f"--output: {out} exists and is not overwritten")
    first, second = sample(), sample()
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert {"samples", "samples_2"} <= {p.name for p in whole.iterdir()}


FROM_PYTHON = """
import sys
import numpy as np
import sde_vae
workdir, pictures, out = sys.argv[1:]
run, pictures = sde_vae.load(workdir), np.load(pictures)
q = run.encode(pictures)
np.savez(out, mean=q.mean, log_var=q.log_var, images=run.reconstruct(pictures), samples=run.sample(5, seed=3))
"""


@pytest.mark.slow
def test_encoding_and_reconstructing_own_pictures(whole, tmp_path):
    """Files of a folder by their names; what is not a picture is left out and counted. From Python the same numbers, bit for bit."""
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name, picture in zip(("a.png", "deep/b.png", "deep/c.png"), pictures, strict=True):
        Image.fromarray(picture[..., 0]).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    use = lambda mode, out, *words: run([*MAIN, *words, "--mode", mode, "--workdir", whole, "--output", tmp_path / out])
    code, out, err = use("encode", "codes.npz", "--input", tmp_path / "in")
    assert code == 0, err
    assert "left out: 1 .txt" in out
    with np.load(tmp_path / "codes.npz") as file:
        codes = dict(file)
    assert codes["names"].tolist() == ["a.png", "deep/b.png", "deep/c.png"]
    assert codes["mean"].shape == codes["log_var"].shape == (3, 3)
    code, _, err = use("reconstruct", "out", "--input", tmp_path / "in")
    assert code == 0, err
    code, _, err = use("sample", "new.npz", "--n", "5", "--sample_seed", "3")
    assert code == 0, err

    np.save(tmp_path / "in.npy", pictures)
    code, _, err = run([sys.executable, "-c", FROM_PYTHON, whole, tmp_path / "in.npy", tmp_path / "python.npz"])
    assert code == 0, err
    with np.load(tmp_path / "python.npz") as file:
        found = dict(file)
    to_bytes = lambda images: np.round(images * 255).astype(np.uint8)
    np.testing.assert_array_equal(found["mean"], codes["mean"])
    np.testing.assert_array_equal(found["log_var"], codes["log_var"])
    np.testing.assert_array_equal(to_bytes(found["samples"]), np.load(tmp_path / "new.npz")["images"])
    written = np.stack([np.asarray(Image.open(tmp_path / "out" / name)) for name in codes["names"]])
    np.testing.assert_array_equal(to_bytes(found["images"])[..., 0], written)


def test_a_split_is_encoded_by_its_name(whole, tmp_path, capsys):
    words = ("--mode", "encode", "--workdir", whole, "--input", "valid", "--output", tmp_path / "v.npz")
    code, _, err = use(capsys, *words)
    assert code == 0, err
    assert np.load(tmp_path / "v.npz")["mean"].shape == (360, 3)


@pytest.mark.slow
def test_a_second_evaluation_adds_to_the_first_and_other_settings_have_a_folder_of_their_own(whole, tmp_path, capsys):
    again = tmp_path / "again"
    shutil.copytree(whole, again, ignore=shutil.ignore_patterns("eval"))

    def evaluate(evaluators, *words):
        return use(capsys, "--mode", "eval", "--workdir", again, f"--config.eval.evaluators={evaluators!r}", *words)

    code, _, err = evaluate(("reconstruction",))
    assert code == 0, err
    before = json.loads((again / "eval" / "metrics.json").read_text())
    code, out, err = evaluate(("latents", "reconstruction"))
    assert code == 0, err
    assert "reconstruction: evaluated before" in out
    after = json.loads((again / "eval" / "metrics.json").read_text())
    assert before.items() <= after.items()
    assert "latent/active_units" in after
    code, out, err = evaluate(("latents",), "--config.eval.n=8")
    assert code == 0, err
    assert json.loads((again / "eval" / "n=8" / "metrics.json").read_text())["n"] == 8
    assert str(again / "eval" / "n=8") in out
    assert json.loads((again / "eval" / "metrics.json").read_text()) == after
    code, _, err = evaluate(("latents",), "--config.eval.n=8", "--config.eval.name=eight")
    assert code == 0, err
    assert (again / "eval" / "eight" / "report.html").exists()
    outcome = evaluate(("latents",), "--config.eval.n=7", "--config.eval.name=eight")
    assert_refused(outcome, "config.eval.name: .* holds the results of other settings")


def test_a_trained_workdir_needs_no_config_and_refuses_what_would_change_its_model(whole, capsys):
    sample = lambda *words: use(capsys, "--mode", "sample", "--workdir", whole, *words)
    assert_refused(sample("--config.model.latent_dim=4"), "config.model.latent_dim: got 4, but .* was trained with 3")
    assert_refused(
        sample("--config.method=beta_vae"), "config.method: got 'beta_vae', but .* was trained with 'score_vae'"
    )
    code, out, err = use(capsys, "--mode", "train", "--workdir", whole)
    assert code == 0, err
    assert "encoder: finished at step 12" in out


def test_sampling_that_was_stopped_goes_on(whole, tmp_path, monkeypatch, one_device):
    """What was sampled before is not sampled again, and the images are those of one go."""
    run, out, sampled = sde_vae.load(whole), tmp_path / "new.npz", []
    size = export.BATCHES * run.config.eval.batch_size

    def sample(n, seed, start):
        if sampled == [0, size]:
            raise KeyboardInterrupt
        sampled.append(start)
        return np.full((n, 8, 8, 1), start / 255, np.float32)

    monkeypatch.setattr(run, "sample", sample)
    with pytest.raises(KeyboardInterrupt):
        export.sample_to(run, 2 * size + 3, 0, out)
    assert not out.exists()
    sampled.append("again")
    export.sample_to(run, 2 * size + 3, 0, out)
    assert sampled == [0, size, "again", 2 * size]
    np.testing.assert_array_equal(np.load(out)["images"][:, 0, 0, 0], np.repeat([0, size, 2 * size], [size, size, 3]))
    assert not out.with_name("new.npz.part").exists()


@pytest.mark.parametrize("name", ["evaluators", "..", ".resume", "a/b", ""])
def test_an_evaluations_name_stays_in_its_folder(tmp_path, name):
    if name:
        with pytest.raises(BadInput, match=r"config\.eval\.name: got"):
            evaluation_folder(tmp_path, name, {})
    else:
        assert evaluation_folder(tmp_path, name, {"config": {}}) == tmp_path


def test_an_evaluation_that_failed_claims_no_folder(tmp_path):
    """Its key is there, but no result: the next one, with better settings, goes to the same folder."""
    write_key(tmp_path, {"config": {"sampling.steps": 1}})
    assert evaluation_folder(tmp_path, "", {"config": {"sampling.steps": 9}}) == tmp_path


def test_results_of_before_a_field_was_one_are_found_again(tmp_path):
    """A new field counts as its default, or as the field that it was taken from; a renamed one as its value under the old name."""
    config = workdir.flatten(set_fields(default_config(), {"method": "cmde", "y_sde.beta_min": 0.1}).to_dict())
    key = as_key({"config": with_effect(config), "step": 3})
    new = ("sampling.guidance", "y_sde.beta_min", "model.encoder.num_statistics")
    held = {name: value for name, value in key["config"].items() if name not in new}
    write_key(tmp_path, key | {"config": held | {"model.encoder.statistics": 0}})
    (tmp_path / "metrics.json").write_text("{}")
    assert evaluation_folder(tmp_path, "", key) == tmp_path
    other = key | {"config": key["config"] | {"y_sde.beta_min": 0.01}}
    assert evaluation_folder(tmp_path, "", other) == tmp_path / "beta_min=0.01"


def test_main_works_inside_a_process(whole, capsys):
    assert main(["--mode", "sample", "--workdir", str(whole), "--n", "2", "--config.sampling.steps", "2"]) == 0
    assert "2 PNG files" in capsys.readouterr().out
    assert main(["--mode", "sample", "--workdir", str(whole), "--config.sampling.stepz=2"]) == 2
    assert main(["--help"]) == 0
    assert "--config.x.y=value" in capsys.readouterr().out


@pytest.mark.slow
def test_another_workdirs_prior(whole, tmp_path):
    code, _, err = run(command("train", tmp_path, **{"prior.checkpoint": whole, "stages.encoder.steps": 2}))
    assert code == 0, err
    assert not (tmp_path / "prior").exists()
    assert len(logged(tmp_path, "encoder")) == 2
    # From the same prior the encoder takes the same steps, up to the learning rate's decay over other lengths.
    assert logged(tmp_path, "encoder")[0] == logged(whole, "encoder")[0]


@pytest.mark.slow
def test_a_method_without_a_prior_trains_on_anothers_draws(whole, tmp_path):
    """They are drawn once: what goes on later, by another solver even, goes on with the same. And they are trained on."""
    changes = {"prior.checkpoint": whole} | {f"model.decoder.{f}": v for f, v in TINY.items()}
    train = lambda folder, **more: run(command("train", folder, config="betavae_digits", **changes | more))
    code, _, err = train(tmp_path / "a", **{"synthetic.n": 20, "stages.encoder.steps": 2, "optim.decay": "constant"})
    assert code == 0, err
    drawn = np.load(tmp_path / "a" / "synthetic" / "images.npy")
    assert (drawn.shape, drawn.dtype) == ((20, 8, 8, 1), np.uint8)
    more = {"stages.encoder.steps": 4, "optim.decay": "constant"}
    code, _, err = train(tmp_path / "a", **more, **{"synthetic.n": 20, "sampling.steps": 5})
    assert code == 0, err
    np.testing.assert_array_equal(np.load(tmp_path / "a" / "synthetic" / "images.npy"), drawn)
    code, _, err = train(tmp_path / "b", **more)
    assert code == 0, err
    assert not (tmp_path / "b" / "synthetic").exists()
    a, b = logged(tmp_path / "a", "encoder"), logged(tmp_path / "b", "encoder")
    assert [row["step"] for row in a] == [row["step"] for row in b] == [1, 2, 3, 4]
    assert a[0]["loss"] != b[0]["loss"]
    outcome = train(tmp_path / "a", **more, **{"synthetic.n": 20, "synthetic.share": 0.25})
    assert_refused(outcome, r"config.synthetic.share: got 0.25, but .* was trained with 0.5")


@pytest.mark.slow
def test_an_encoder_decodes_with_another_prior(whole, evaluated, tmp_path):
    """Its own prior under another name changes nothing; another one changes the decodings, and not the codes."""
    other, copy = tmp_path / "other", tmp_path / "copy"
    code, _, err = run(command("train", other, **{"seed": 7, "stages.encoder.steps": 1}))
    assert code == 0, err
    shutil.copytree(whole, copy, ignore=shutil.ignore_patterns("eval"))
    # As if it had learnt from other images.
    for meta in (other / "prior" / "checkpoints").glob("*/meta/metadata"):
        found = json.loads(meta.read_text())
        found["data"]["fingerprint"] = "other"
        del found["crc32"]
        meta.write_text(json.dumps(found | {"crc32": files.json_crc32(found)}))
    found = [json.loads((whole / "eval" / "metrics.json").read_text())]
    for prior in (whole, other):
        code, out, err = run(command("eval", copy, **{"eval.prior": prior, "eval.evaluators": "('reconstruction',)"}))
        assert code == 0, err
        assert ("note: config.eval.prior was trained on other images" in out) == (prior == other)
        folder = copy / "eval" if prior == whole else copy / "eval" / "prior=other"
        found.append(json.loads((folder / "metrics.json").read_text()))
    assert found[0]["reconstruction/l2"] == found[1]["reconstruction/l2"] != found[2]["reconstruction/l2"]
    assert found[0]["latent/kl"] == found[1]["latent/kl"] == found[2]["latent/kl"]


def test_a_prior_of_another_sde_is_refused(whole):
    outcome = run(command("train", whole.parent / "none", **{"prior.checkpoint": whole, "sde.beta_max": 10.0}))
    assert_refused(
        outcome, f"config.prior.checkpoint: {whole} was trained with config.sde.beta_max 20.0, expected 10.0"
    )


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch, capsys):
    # No learning rate that a config may have makes it so in a few steps.
    monkeypatch.setattr(stages, "adam", lambda rate, steps, warmup, clip, decay: adam(1e30, steps, 6, 1e30, decay))
    changes = {"optim.decay": "constant", "stages.prior.checkpoint_every": 1}
    assert main(command("train", tmp_path, **changes)[len(MAIN) :]) == 1
    err = capsys.readouterr().err
    assert re.search(
        r"error: step \d+: \S+ is (nan|inf|-inf); the last good checkpoint is \S+/prior/checkpoints/\d+\n", err
    )
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stages.prior.stepz": 3},
            r"--config.stages.prior.stepz=3: there is no such field; did you mean config.stages.prior.steps\?",
        ),
        ({"stages.prior.steps": "many"}, r"config.stages.prior.steps: got 'many', expected a whole number"),
        (
            {"stages.encoder.weight": "likelyhood"},
            r"config.stages.encoder.weight: unknown name 'likelyhood', did you mean 'likelihood'\?; known: flow, flow_logit_normal, likelihood",
        ),
        ({"prior.checkpoint": "nowhere"}, "config.prior.checkpoint: expected checkpoints of the stage 'prior'"),
        (
            {"stages.prior.batch_size": 2000},
            "config.stages.prior.batch_size: got 2000, but digits has 1077 images to train on",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, changes, message):
    assert_refused(run(command("train", tmp_path, **changes)), message)


def test_a_run_from_before_a_field_was_had_its_default(tmp_path):
    trained, defaults = {"a.b": (1, 2)}, {"a.b": (0,), "a.new": 0}
    (tmp_path / "prior" / "checkpoints" / "10").mkdir(parents=True)
    workdir.claim(tmp_path, trained, {})
    workdir.check(tmp_path, {"a.b": (1, 2), "a.new": 0}, defaults)
    with pytest.raises(BadInput, match=r"config\.a\.new: got 1, but .* was trained with 0"):
        workdir.check(tmp_path, {"a.b": (1, 2), "a.new": 1}, defaults)
    with pytest.raises(BadInput, match=r"config\.a\.b: got \[3\], but .* was trained with \[1, 2\]"):
        workdir.check(tmp_path, {"a.b": (3,), "a.new": 0}, defaults)


@pytest.fixture
def claimed(tmp_path):
    """claimed(changes, stage) makes a run of the digits' config with these changes, whose stage has a checkpoint."""

    def claim(changes, stage="prior"):
        (tmp_path / stage / "checkpoints" / "10").mkdir(parents=True)
        workdir.claim(tmp_path, workdir.flatten(set_fields(load_config("scorevae_digits"), changes).to_dict()), {})
        return tmp_path

    return claim


def test_fields_that_a_config_does_not_read_may_differ(claimed):
    """A run of an earlier version, whose default of a field that its method does not read was another one, still goes on."""
    run, now = claimed({"y_sde.beta_max": 5.0}), load_config("scorevae_digits")
    check_config(now, run)
    with pytest.raises(BadInput, match=r"config\.sde\.beta_max: got 10\.0, but"):
        check_config(set_fields(now, {"sde.beta_max": 10.0}), run)


def test_fields_that_it_reads_may_not_differ(claimed):
    cmde = {"method": "cmde", "eval.evaluators": ("restoration",)}
    run = claimed({**cmde, "y_sde.beta_max": 5.0}, "encoder")
    with pytest.raises(BadInput, match=r"config\.y_sde\.beta_max: got 0\.2, but .* was trained with 5\.0"):
        check_config(set_fields(load_config("scorevae_digits"), cmde), run)


def test_a_trained_stage_that_is_left_out_has_its_fields_compared(claimed):
    """Else config.json would get other fields of it, and the stage could no longer be used."""
    run = claimed({"stages.correction.steps": 10, "model.correction.channels": 96}, "correction")
    with pytest.raises(BadInput, match=r"config\.model\.correction\.channels: got \d+, but"):
        check_config(load_config("scorevae_digits"), run)


def test_how_pictures_are_prepared_is_compared_whatever_the_data(claimed):
    run = claimed({})
    with pytest.raises(BadInput, match=r"config\.data\.filter: got 'box', but"):
        check_config(set_fields(load_config("scorevae_digits"), {"data.filter": "box"}), run)


def test_a_run_of_version_0_1_is_read_under_the_names_of_today(tmp_path):
    """Its config has every field under an old name; a copy of a trained run with such a config loads, and is the same run."""
    config = set_fields(load_config("scorevae_digits"), {**SMALL, "stages.encoder.weight": "p2"})
    flat = workdir.flatten(config.to_dict())
    old = {name: flat.pop(new[0]) for name, new in RENAMED.items()}
    for new in RENAMED["optim.warmup"]:
        flat.pop(new, None)
    for latent in ("stages.latent.weight", "stages.latent.times", "eval.name"):
        del flat[latent]
    flat["eval.evaluators"] = ["averages", "paths", "ladder", "samples"]
    files.write_json(tmp_path / "config.json", {"config": workdir.nested(flat | old)})
    found = trained_config(tmp_path)
    config = set_fields(
        config, {"eval.evaluators": ("multi_sample", "trajectory_consistency", "elbo_vs_steps", "samples")}
    )
    expected = workdir.flatten(config.to_dict())
    expected |= {f"stages.{stage}.warmup": 2 for stage in ("correction", "latent")}
    assert workdir.flatten(found.to_dict()) == expected


@pytest.mark.parametrize(("stage", "net"), [("latent", "latent_prior"), ("correction", "correction")])
def test_a_stage_can_be_added_to_a_run_until_it_has_begun(tmp_path, stage, net):
    def config(encoder, added, channels):
        rates = {"stages.encoder.learning_rate": encoder, f"stages.{stage}.learning_rate": added}
        return {**rates, f"model.{net}.channels": channels}

    (tmp_path / "encoder" / "checkpoints" / "10").mkdir(parents=True)
    workdir.claim(tmp_path, config(1e-3, 1e-3, 64), {})
    workdir.check(tmp_path, config(1e-3, 2e-3, 32), {})
    with pytest.raises(BadInput, match=r"config\.stages\.encoder\.learning_rate: got 0\.002, but"):
        workdir.check(tmp_path, config(2e-3, 1e-3, 64), {})
    (tmp_path / stage / "checkpoints" / "10").mkdir(parents=True)
    with pytest.raises(BadInput, match=rf"config\.model\.{net}\.channels: got 32, but"):
        workdir.check(tmp_path, config(1e-3, 1e-3, 32), {})
    with pytest.raises(BadInput, match=rf"config\.stages\.{stage}\.learning_rate: got 0\.002, but"):
        workdir.check(tmp_path, config(1e-3, 2e-3, 64), {})


def test_a_workdir_is_not_trained_over_with_another_config(whole):
    changes = {"model.prior.channels": 16}
    assert_refused(
        run(command("train", whole, **changes)), "config.model.prior.channels: got 16, but .* was trained with 8"
    )


def test_a_mistyped_prior_does_not_claim_the_workdir(whole, tmp_path):
    assert run(command("train", tmp_path, **{"prior.checkpoint": "nowhere"}))[0] == 2
    assert not (tmp_path / "config.json").exists()


def assert_refused(outcome, message):
    code, _, err = outcome
    assert code == 2, err
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, err
    assert re.search(message, errors[0]), errors[0]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--mode", "train"], "--config: expected a config"),
        (["--config", "configs/none.py", "--mode", "train"], "got configs/none.py, but there is no such file"),
        (
            ["--config", "configs/scorevae_digits.py"],
            "--mode: missing; expected one of train, eval, sample, encode, reconstruct",
        ),
        (["--config", "configs/scorevae_digits.py", "--mode", "train", "--wrong"], "--wrong: unknown option"),
        (
            ["--config", "configs/scorevae_digits.py", "--mode", "train", "--workdir", "my", "run"],
            "'run': not an option",
        ),
        (["--config", "scorevae_digitz", "--mode", "train"], "did you mean scorevae_digits?"),
        (["--config", "scorevae_digits", "--mode", "evla"], "--mode: unknown name 'evla', did you mean 'eval'?"),
        (
            ["--config", "scorevae_digits", "--mode", "train", "--config.samplin.steps=3"],
            "did you mean config.sampling.steps?",
        ),
        (
            ["--config", "scorevae_digits", "--mode", "sample", "--config.parallel=ddp"],
            "config.parallel: unknown name 'ddp'",
        ),
        (["--config", "scorevae_digits", "--mode", "train", "--input", "x"], "--input: belongs to --mode encode"),
        (
            ["--config", "scorevae_digits", "--mode", "train", "--output", "x"],
            "--output: --mode train writes to --workdir",
        ),
        (["--config", "scorevae_digits", "--mode"], "--mode: expected a value"),
        (["--config", "scorevae_digits", "--mode", "train", "--workdir="], "--workdir: empty; expected a value"),
        (
            ["--config", "scorevae_digits", "--mode", "train", "--workdir", "a", "--workdir=b"],
            "--workdir=b: given twice",
        ),
        (
            ["--mode", "sample", "--config", "scorevae_digits", "--n", "0"],
            "--n: got '0', expected a whole number, at least 1",
        ),
        (["--mode", "sample", "--workdir", "nowhere"], "nowhere is not a trained run"),
        (
            ["--config", "configs/scorevae_digits.py", "--mode", "eval", "--workdir", "none"],
            "--workdir: expected a trained run, found no folder none",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(args, message):
    code, _, err = run([sys.executable, "main.py", *args])
    assert code == 2, err
    assert message in err
    assert len(err.strip().splitlines()) == 1, err
    assert not [name for name in ("nowhere", "none", "a", "b") if Path(name).exists()]
