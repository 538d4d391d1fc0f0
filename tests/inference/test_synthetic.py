"""Images drawn from a prior to train on: drawn once, kept, and nobody else's."""

import os
import signal

import jax
import numpy as np
import pytest

from configs import scorevae_digits
from sde_vae.build.evaluation import build_prior_sampler
from sde_vae.build.stages import build
from sde_vae.data.dataset import to_model
from sde_vae.errors import BadInput
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.synthetic import synthetic_images
from sde_vae.training.loop import Stopped, StopRequest

N, LEVELS = 10, 17
IMAGES = np.random.default_rng(0).integers(0, LEVELS, (N, 2, 2, 1)).astype(np.uint8)
WHOSE = {"prior": {"a": {"crc32": 1}}, "seed": 0}


class Drawing:
    """Counts the batches that it has drawn, and stops, or fails, after so many."""

    def __init__(self, stop_after=99, batch_size=4):
        self.drawn, self.stop_after, self.batch_size = 0, stop_after, batch_size

    def __call__(self, parts):
        return lambda index, label: batched_map(self.draw, self.batch_size, index, label=label, cache=cache)

    def draw(self, index):
        if self.drawn == self.stop_after:
            raise Stopped
        self.drawn += 1
        return self.value(index)

    def value(self, index):
        # A solver leaves images beside the grey levels.
        return to_model(IMAGES[index], LEVELS) + 0.03


class Failing(Drawing):
    def value(self, index):
        return np.full((len(index), 2, 2, 1), np.nan)


def draw(folder, drawing, n=N, whose=WHOSE, how="a"):
    return synthetic_images(folder / "draws", n, LEVELS, whose, {"solver": how}, drawing)


def test_they_are_drawn_once(tmp_path):
    drawing = Drawing()
    for how in ("a", "another"):
        found = draw(tmp_path, drawing, how=how)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, IMAGES)
    assert drawing.drawn == 3
    assert sorted(path.name for path in (tmp_path / "draws").iterdir()) == ["images.npy", "key.json"]


def test_a_drawing_that_was_stopped_goes_on(tmp_path):
    with pytest.raises(Stopped):
        draw(tmp_path, Drawing(stop_after=2))
    assert not (tmp_path / "draws" / "images.npy").exists()
    rest = Drawing()
    np.testing.assert_array_equal(draw(tmp_path, rest), IMAGES)
    assert rest.drawn == 1


@pytest.mark.parametrize("changed", ["solver", "batch_size"])
def test_pieces_of_another_drawing_are_not_mixed_in(tmp_path, changed):
    """Batches of another size would lie elsewhere."""
    with pytest.raises(Stopped):
        draw(tmp_path, Drawing(stop_after=1))
    rest = Drawing(batch_size=3) if changed == "batch_size" else Drawing()
    np.testing.assert_array_equal(draw(tmp_path, rest, how="b"), IMAGES)
    assert rest.drawn == -(-N // rest.batch_size)


def test_what_is_not_finite_is_not_kept(tmp_path):
    with pytest.raises(BadInput, match="10 of 10 came out not finite"):
        draw(tmp_path, Failing())
    np.testing.assert_array_equal(draw(tmp_path, Drawing(), how="with more steps"), IMAGES)


@pytest.mark.parametrize(("name", "changes"), [("n", {"n": 8}), ("seed", {"whose": WHOSE | {"seed": 1}})])
def test_anothers_are_refused_and_stay(tmp_path, name, changes):
    draw(tmp_path, Drawing())
    with pytest.raises(
        BadInput, match=rf"expected images of this prior, number and seed, found others \({name} differs\)"
    ):
        draw(tmp_path, Drawing(), **changes)
    np.testing.assert_array_equal(draw(tmp_path, Drawing(stop_after=0)), IMAGES)


@pytest.mark.parametrize("file", ["images.npy", "key.json"])
def test_what_cannot_be_read_is_named(tmp_path, file):
    draw(tmp_path, Drawing())
    (tmp_path / "draws" / file).write_bytes(b"{")
    with pytest.raises(BadInput, match=r"draws: can't be read .*; remove it"):
        draw(tmp_path, Drawing())


def test_a_signal_does_not_wait_where_nothing_would_be_lost():
    with StopRequest() as stop:
        with stop.at_once(), pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
        # Nor does one that came before.
        with pytest.raises(Stopped), stop.at_once():
            pytest.fail("went on")
    with StopRequest() as stop:
        with stop.at_once():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested


def small():
    config = scorevae_digits.get_config()
    config.draws.n, config.draws.share = N, 0.25
    config.sampling.steps = 2
    for net in (config.model.prior, config.model.encoder):
        net.channels, net.multipliers = 8, (1,)
    return config


def test_the_stage_encoder_asks_for_them_and_trains_on_them():
    prior, encoder = build(small()).stages
    assert (prior.draws, encoder.draws) == (0, N)
    drawn = np.zeros((N, 8, 8, 1), np.uint8)
    opened = encoder.open_data(drawn)
    assert (opened.drawn is drawn, opened.share) == (True, 0.25)
    black = [np.mean(np.all(batch.x == -1, axis=(1, 2, 3))) for batch in opened.batches(0, 4)]
    assert black == [0.25] * 4
    assert prior.open_data(None).drawn is None
    for stage, given in ((encoder, None), (prior, drawn)):
        with pytest.raises(ValueError, match="drawn images, got"):
            stage.open_data(given)


def test_another_key_draws_others():
    config = small()
    experiment = build(config)
    params = experiment.prior.init(jax.random.key(0))
    shown, trained_on, again = (
        build_prior_sampler(config, experiment, params, jax.random.key(seed))(np.arange(3, dtype=np.int32), "draw")
        for seed in (0, 1, 1)
    )
    np.testing.assert_array_equal(trained_on, again)
    assert not np.any(np.all(np.isclose(shown, trained_on, atol=1e-3), axis=(1, 2, 3)))
