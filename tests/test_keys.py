"""No two purposes of a run have equal keys, and no function derives from a key in two ways."""

import ast
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import sde_vae
from sde_vae import keys
from sde_vae.arrays import keys_of
from sde_vae.build import conditional
from sde_vae.build.config import load_config
from sde_vae.build.experiment import build
from sde_vae.build.fields import STAGES
from sde_vae.build.preview import build_preview
from sde_vae.data.dataset import Dataset, Split, to_model
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.context import EvalData, MetricNetworks, make_context
from sde_vae.evaluators.elbo_vs_steps import elbo_vs_steps
from sde_vae.evaluators.importance import importance
from sde_vae.evaluators.latent_prior import latent_prior
from sde_vae.evaluators.noise_levels import noise_levels
from sde_vae.evaluators.reconstruction import reconstruction
from sde_vae.evaluators.samples import samples
from sde_vae.evaluators.trajectory_consistency import trajectory_consistency
from sde_vae.inference.restoration import observe_images, restore
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.methods.method import Method
from sde_vae.training.loop import StopRequest, train_stage
from tests.helpers.programs import traced_only
from tests.helpers.small import pixelwise
from tests.training.test_loop import stage as small_stage

PACKAGE = Path(sde_vae.__file__).parent
SPLITS = {"split"}


def test_names_are_listed_once_and_every_stage_has_its_own():
    for names in (keys.STREAMS, keys.GENERATORS):
        assert len(set(names)) == len(names)
    assert {f"{of}/{stage}" for of in ("initialise", "train") for stage in STAGES} <= set(keys.STREAMS)
    with pytest.raises(ValueError, match="nothing"):
        keys.stream(0, "nothing")


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_no_two_streams_are_equal_nor_what_is_split_or_folded_from_them(seed):
    """Down two levels: each stream, what eight numbers make of it, and what these make of that."""
    level, known = jax.numpy.stack([keys.stream(seed, name) for name in keys.STREAMS]), []
    for _ in range(3):
        known.append(np.asarray(jax.random.key_data(level)).reshape(-1, 2))
        level = jax.vmap(lambda key: jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(8)))(level.reshape(-1))
    found = np.concatenate(known)
    assert len(np.unique(found, axis=0)) == len(found)
    first = [tuple(keys.generator(seed, name).integers(2**63, size=2)) for name in keys.GENERATORS]
    assert len(set(first)) == len(first)


def test_streams_that_were_there_before_their_names_give_what_they_gave():
    root = jax.random.key(3)
    for number, name in enumerate(("initialise/encoder", "train/encoder", "synthetic images")):
        assert keys.stream(3, name) == jax.random.fold_in(root, number) == jax.random.split(root, 4)[number]
    expected = np.random.default_rng(3).standard_normal(5)
    np.testing.assert_array_equal(keys.generator(3, "posterior").standard_normal(5), expected)


@pytest.mark.parametrize("name", STAGES)
def test_training_asks_for_the_streams_of_its_stage(tmp_path, monkeypatch, name):
    asked = record(monkeypatch, "sde_vae.training.loop.stream")
    of_stage, frozen = small_stage("pmap")
    with pytest.raises(Begun):
        train_stage(of_stage._replace(name=name, method=Method(begin, begin)), frozen, tmp_path, StopRequest())
    assert [of for of, _ in asked] == [f"initialise/{name}", f"train/{name}"]


class Begun(Exception):
    """Training is about to compile."""


def begin(*_):
    raise Begun


def record(monkeypatch, place):
    """(name, key as numbers) of each stream that is asked for, as a list that grows."""
    asked, real = [], keys.stream

    def recorded(seed, name):
        asked.append((name, tuple(jax.random.key_data(real(seed, name)).tolist())))
        return real(seed, name)

    monkeypatch.setattr(place, recorded)
    return asked


def test_an_evaluation_has_one_key_for_each_purpose_and_no_other(tmp_path, monkeypatch):
    """The keys that its programs are given are those of streams, and each program has the stream of its purpose."""
    given = traced_only(monkeypatch)
    run = sde_vae.load("digits")
    data = EvalData("none", "0" * 64, 17, PICTURES, PICTURES[:4], to_model(PICTURES[:4], 17))
    networks = MetricNetworks({}, None, {}, tmp_path)
    model = run.model._replace(latent_prior=lambda params: lambda x, t: -x)
    context = make_context(model, data, networks, ResumeCache(tmp_path / "parts", {}), 16, 4, 16, 5)
    for evaluator in SMALL:
        list(evaluator(context))
    run.sample(2, seed=5)
    build_preview(run.config, run.experiment.decoder.sde, (8, 8, 1), run.experiment.final.method, lambda: DATA)(
        run.model.params.own, run.model.params.frozen
    )
    names = {tuple(jax.random.key_data(keys.stream(5, name)).tolist()): name for name in keys.STREAMS}
    names |= {tuple(jax.random.key_data(keys.stream(0, "preview")).tolist()): "preview"}
    purposes = {}
    for program in given:
        for key in program.keys:
            purposes.setdefault(names[key], set()).add(program.name)
    assert set(purposes) == {
        *("preview", "decode", "sample", "sample latent codes", "bound", "importance", "elbo_vs_steps"),
        *("elbo_vs_steps, fitted variances", "iterated_decoding", "noise_levels", "trajectory_consistency"),
    }
    assert purposes["bound"] == {"one_draw"}
    assert purposes["sample latent codes"] == purposes["sample"] == {"generate"}


def test_a_restoration_has_one_key_for_each_purpose(monkeypatch, one_device):
    """Of what is observed, of x and of the examples' seeds of y's noise; in the score, of that noise."""
    monkeypatch.setattr(conditional, "build_image_network", pixelwise)
    named, asked = [], []
    recorded = lambda seed, name: named.append((seed, name)) or keys.stream(seed, name)
    for place in ("inference.restoration", "methods.conditional"):
        monkeypatch.setattr(f"sde_vae.{place}.stream", recorded)
    experiment = build(load_config("cmde_digits"))
    method, given = experiment.final.method, traced_only(monkeypatch)
    x, condition = observe_images(experiment.measurement.observe, to_model(PICTURES[:4], 17), 5, 4)
    assert [program.keys for program in given] == [(tuple(jax.random.key_data(keys.stream(5, "observe")).tolist()),)]
    restore(lambda key, condition, *_: asked.append((key, condition.seed)) or x, condition, 2, 5)
    for k, (key, seeds) in enumerate(asked):
        assert key == jax.random.fold_in(keys.stream(5, "restore"), k)
        of_y = jax.random.fold_in(keys.stream(5, "diffused y"), k)
        np.testing.assert_array_equal(seeds, jax.vmap(jax.random.bits)(keys_of(of_y, jax.numpy.arange(4))))
    assert [name for _, name in named] == ["observe", *2 * ("restore", "diffused y")]
    score = lambda key, given, x, t: method.score(method.init(key), {}, given)(x, t)
    jax.eval_shape(score, jax.random.key(0), condition, x, np.ones(4, np.float32))
    assert named[5:] == [(0, "noise of diffused y")]


PICTURES = np.random.default_rng(0).integers(0, 17, (16, 8, 8, 1), np.uint8)
DATA = Dataset("none", {"train": Split(PICTURES)})
SMALL = (
    reconstruction,
    samples,
    partial(bits_per_dim, draws=1),
    partial(importance, draws=4, steps=2),
    partial(elbo_vs_steps, steps=(2,), fitted=2, iterations=(1,), samples=2, draws=1),
    partial(noise_levels, levels=2),
    partial(trajectory_consistency, trajectories=2, stops=2),
    latent_prior,
)


def calls(tree):
    """(name of the function, the call) of each call under a node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            # The split of a text is another one.
            yield name if name != "split" or "random" in ast.dump(node.func) else "", node


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_key_is_made_but_by_name(path):
    """Outside keys.py there is no jax.random.key but for shapes, and numpy's generators take constants only, as for a fixed split."""
    if path.name == "keys.py":
        return
    tree = ast.parse(path.read_text())
    assert len(list(unnamed(tree))) == (path.relative_to(PACKAGE).as_posix() in WITHOUT_NOISE), path
    allowed = {"avatar_factors.py", "kid.py"}  # of a face's own number, and of an argument that is 0
    for name, call in calls(tree):
        if name == "default_rng" and path.name not in allowed:
            assert all(isinstance(argument, ast.Constant) for argument in call.args), f"{path}:{call.lineno}"
        if name in ("stream", "generator") and isinstance(call.args[-1], ast.Constant):
            assert call.args[-1].value in (*keys.STREAMS, *keys.GENERATORS), f"{path}:{call.lineno}"


# Keys from which nothing is drawn that a user sees: of a deterministic solver, and of a count of evaluations.
WITHOUT_NOISE = ("inference/compiled.py", "inference/decoding.py")


def unnamed(tree):
    """The lines that make a key, but for those inside of eval_shape, which draws nothing."""
    inside = {id(node) for name, call in calls(tree) if name == "eval_shape" for node in ast.walk(call)}
    for name, call in calls(tree):
        if name in ("key", "PRNGKey") and "random" in ast.dump(call.func) and id(call) not in inside:
            yield call.lineno


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_function_both_splits_a_key_and_folds_into_it(path):
    """split(key)[i] is fold_in(key, i). A key that is split is used no more, unless its name is given to a part of it."""
    assert not list(twice(ast.parse(path.read_text()))), path


def twice(tree):
    """(line, key) of each key that a function splits and uses elsewhere too; in the functions inside it, unless it is their argument."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.Lambda):
            split = {of for name, call in calls(function) if name in SPLITS for of in names(call)}
            for key in split - rebound(function):
                used = [n for n in own(function, key) if isinstance(n, ast.Name) and n.id == key]
                if sum(isinstance(name.ctx, ast.Load) for name in used) > 1:
                    yield function.lineno, key


def own(function, key):
    """The nodes of a function, without the functions inside that have an argument of this name."""
    for node in ast.iter_child_nodes(function):
        inner = isinstance(node, ast.FunctionDef | ast.Lambda)
        if not inner or key not in {argument.arg for argument in node.args.args}:
            yield node
            yield from own(node, key)


def names(call):
    return {argument.id for argument in call.args[:1] if isinstance(argument, ast.Name)}


def rebound(function):
    """The keys that a split gives a new value: key_z, key = jax.random.split(key)."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(name in SPLITS for name, _ in calls(node.value)):
            targets = {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            found |= targets & {of for _, call in calls(node.value) for of in names(call)}
    return found


def test_the_reader_of_code_finds_what_it_looks_for():
    both = "def f(key):\n    a, b = jax.random.split(key)\n    return fold_in(key, 1)"
    again = "def f(key):\n    a, b = jax.random.split(key)\n    c, d = jax.random.split(key, 2)"
    assert list(twice(ast.parse(both)))
    assert list(twice(ast.parse(again)))
    for outside in ("jax.random.key(seed)", "jax.random.fold_in(jax.random.key(0), seed)", "random.PRNGKey(0)"):
        assert list(unnamed(ast.parse(f"f(a, {outside})")))
    assert not list(unnamed(ast.parse("jax.eval_shape(f, jax.random.key(0))")))
    assert not list(twice(ast.parse("def f(key):\n    a, key = jax.random.split(key)\n    return fold_in(key, 1)")))
