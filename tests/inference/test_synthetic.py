"""Synthetic images: sampled from a prior once, kept, and of no other prior."""

import os
import signal

import jax
import numpy as np
import pytest

from sde_vae.build.config import load_config
from sde_vae.build.experiment import build
from sde_vae.data.dataset import to_model
from sde_vae.errors import BadInput
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.sampling import from_prior, make_sampler
from sde_vae.inference.synthetic import SUM, synthetic_images
from sde_vae.keyed_folder import held_key, write_key
from sde_vae.training.signals import Stopped, StopRequest

pytestmark = pytest.mark.usefixtures("one_device")

N, LEVELS = 10, 17
IMAGES = np.random.default_rng(0).integers(0, LEVELS, (N, 2, 2, 1)).astype(np.uint8)
SOURCE = {"prior": {"a": {"crc32": 1}}, "seed": 0}


class Sampling:
    """Counts the batches that it has sampled, and stops after so many."""

    def __init__(self, stop_after=99, batch_size=4):
        self.sampled, self.stop_after, self.batch_size = 0, stop_after, batch_size

    def __call__(self, cache):
        return lambda index, label: batched_map(self.sample, self.batch_size, index, label=label, cache=cache)

    def sample(self, index):
        if self.sampled == self.stop_after:
            raise Stopped
        self.sampled += 1
        return self.value(index)

    def value(self, index):
        # A solver leaves images beside the grey levels.
        return to_model(IMAGES[index], LEVELS) + 0.03


class Failing(Sampling):
    def value(self, index):
        return np.full((len(index), 2, 2, 1), np.nan)


def sample(folder, sampling, n=N, source=SOURCE, solver="a"):
    return synthetic_images(folder / "synthetic", n, LEVELS, source, {"solver": solver}, sampling)


def test_they_are_sampled_once(tmp_path):
    sampling = Sampling()
    for solver in ("a", "another"):
        found = sample(tmp_path, sampling, solver=solver)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, IMAGES)
    assert sampling.sampled == 3
    assert sorted(path.name for path in (tmp_path / "synthetic").iterdir()) == ["images.npy", "key.json"]


def test_a_sampling_that_was_stopped_goes_on(tmp_path):
    with pytest.raises(Stopped):
        sample(tmp_path, Sampling(stop_after=2))
    assert not (tmp_path / "synthetic" / "images.npy").exists()
    rest = Sampling()
    np.testing.assert_array_equal(sample(tmp_path, rest), IMAGES)
    assert rest.sampled == 1


@pytest.mark.parametrize("changed", ["solver", "batch_size"])
def test_pieces_of_another_sampling_are_not_mixed_in(tmp_path, changed):
    """Batches of another size would lie elsewhere."""
    with pytest.raises(Stopped):
        sample(tmp_path, Sampling(stop_after=1))
    rest = Sampling(batch_size=3) if changed == "batch_size" else Sampling()
    np.testing.assert_array_equal(sample(tmp_path, rest, solver="b"), IMAGES)
    assert rest.sampled == -(-N // rest.batch_size)


def test_what_is_not_finite_is_not_kept(tmp_path):
    with pytest.raises(BadInput, match="10 of 10 are not finite"):
        sample(tmp_path, Failing())
    np.testing.assert_array_equal(sample(tmp_path, Sampling(), solver="with more steps"), IMAGES)


@pytest.mark.parametrize(("name", "changes"), [("n", {"n": 8}), ("seed", {"source": SOURCE | {"seed": 1}})])
def test_those_of_another_source_are_refused_and_stay(tmp_path, name, changes):
    sample(tmp_path, Sampling())
    with pytest.raises(
        BadInput, match=rf"expected images of this prior, number and seed, found others \({name} differs\)"
    ):
        sample(tmp_path, Sampling(), **changes)
    np.testing.assert_array_equal(sample(tmp_path, Sampling(stop_after=0)), IMAGES)


@pytest.mark.parametrize("file", ["images.npy", "key.json"])
def test_what_cannot_be_read_is_named(tmp_path, file):
    sample(tmp_path, Sampling())
    (tmp_path / "synthetic" / file).write_bytes(b"{")
    with pytest.raises(BadInput, match=r"synthetic: can't be read .*; remove it"):
        sample(tmp_path, Sampling())


def test_a_signal_stops_between_two_batches_and_the_rest_is_sampled_later(tmp_path):
    class Signalled(Sampling):
        def value(self, index):
            os.kill(os.getpid(), signal.SIGINT)
            return super().value(index)

    with StopRequest() as stop, pytest.raises(Stopped):
        synthetic_images(tmp_path / "synthetic", N, LEVELS, SOURCE, {"solver": "a"}, Signalled(), stop.check)
    assert stop.name == "SIGINT"
    rest = Sampling()
    np.testing.assert_array_equal(sample(tmp_path, rest), IMAGES)
    assert rest.sampled == 2


def test_a_flipped_bit_is_refused_and_images_without_a_checksum_are_said(tmp_path):
    sample(tmp_path, Sampling())
    path = tmp_path / "synthetic" / "images.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    with pytest.raises(BadInput, match=r"can't be read \(its checksum is wrong\); remove it"):
        sample(tmp_path, Sampling())
    path.write_bytes(whole)
    key = held_key(tmp_path / "synthetic")
    del key[SUM]
    write_key(tmp_path / "synthetic", key)
    with pytest.warns(UserWarning, match="of an earlier version, without a checksum"):
        np.testing.assert_array_equal(sample(tmp_path, Sampling()), IMAGES)


def small():
    config = load_config("scorevae_digits")
    config.synthetic.n, config.synthetic.share = N, 0.25
    config.sampling.steps = 2
    for net in (config.model.prior, config.model.encoder):
        net.channels, net.multipliers = 8, (1,)
    return config


def test_the_stage_encoder_asks_for_them_and_trains_on_them():
    prior, encoder = build(small()).stages
    assert (prior.synthetic, encoder.synthetic) == (0, N)
    synthetic = np.zeros((N, 8, 8, 1), np.uint8)
    opened = encoder.open_data(synthetic)
    assert (opened.synthetic is synthetic, opened.share) == (True, 0.25)
    black = [np.mean(np.all(batch.x == -1, axis=(1, 2, 3))) for batch in opened.batches(0, 4)]
    assert black == [0.25] * 4
    assert prior.open_data(None).synthetic is None
    for stage, given in ((encoder, None), (prior, synthetic)):
        with pytest.raises(ValueError, match="synthetic images, got"):
            stage.open_data(given)


def test_another_key_samples_others():
    config = small()
    experiment = build(config)
    params, score = experiment.prior.init(jax.random.key(0)), lambda params: experiment.prior.unconditional(params, {})
    sampler = make_sampler(from_prior(experiment.decoder, score, experiment.shape), 4)
    index = np.arange(3, dtype=np.int32)
    shown, trained_on, again = (sampler(params, jax.random.key(seed), index, "sample") for seed in (0, 1, 1))
    np.testing.assert_array_equal(trained_on, again)
    assert not np.any(np.all(np.isclose(shown, trained_on, atol=1e-3), axis=(1, 2, 3)))
