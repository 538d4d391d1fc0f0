"""An unconditional diffusion model in the hand: its noise, its score and its samples."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.devices import replicate
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import SDE
from sde_vae.errors import BadInput
from sde_vae.inference.decoding import Decoder
from sde_vae.inference.sampling import from_prior, make_sampler
from sde_vae.inference.user_images import whole
from sde_vae.keys import stream
from sde_vae.solvers.exponential import dpm_solver_pp_2m
from sde_vae.solvers.grids import Grid, uniform_log_snr
from sde_vae.solvers.step import Solver
from sde_vae.types import Params, PerExample, Points, ScoreFn

# One object: a solver compiles once.
SOLVER = dpm_solver_pp_2m()


class DiffusionPrior:
    """A diffusion model p(x) with its parameters. Made by `sde_vae.load_prior`.

    sde           its forward SDE; of a discrete schedule, t counts the steps: t = k is the model's own step k
    image_shape   (H, W, C)
    params        its parameters, on all devices
    notes         what was ignored or assumed when its files were read
    """

    def __init__(
        self,
        sde: SDE,
        image_shape: tuple[int, ...],
        score: Callable[[Params], ScoreFn],
        params: Params,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.sde, self.image_shape, self.params, self.notes = sde, image_shape, replicate(params), notes
        self._score_of = score
        self._score = jax.jit(lambda params, x, t: score(params)(x, t))
        self._noise = jax.jit(lambda params, x, t: noise_of_score(sde, score(params)(x, t), t))

    def __repr__(self) -> str:
        n = sum(a.size for a in jax.tree.leaves(self.params))
        return f"<DiffusionPrior of images {self.image_shape}: {n:,} parameters, {type(self.sde).__name__}, t up to {self.sde.T:g}>"

    def noise(self, x: Any, t: Any) -> jax.Array:
        """Return E[eps | x_t = x], [n, H, W, C], for x [n, H, W, C] in the model's [-1, 1] and t [n], or one t for all.

        Raises BadInput for other shapes, and for times outside of the SDE's t_min to T.

        >>> prior = sde_vae.load_prior("digits")
        >>> prior.noise(np.zeros((2, 8, 8, 1)), 0.5).shape
        (2, 8, 8, 1)
        """
        return self._noise(self.params, *self._checked(x, t))

    def score(self, x: Any, t: Any) -> jax.Array:
        """Return the score grad_x log p_t(x), [n, H, W, C]: minus the noise over sigma(t). Arguments are those of `noise`."""
        return self._score(self.params, *self._checked(x, t))

    def sample(
        self,
        n: int,
        seed: int = 0,
        steps: int = 25,
        solver: Solver = SOLVER,
        grid: Callable[[SDE, int], Grid] = uniform_log_snr,
        batch_size: int = 64,
        progress: bool = False,
    ) -> np.ndarray:
        """Return n new images, float32 [n, H, W, C] in [0, 1]. Image i has the noise of index i, whatever n is.

        `solver` is one of sde_vae.solvers, `grid` one of sde_vae.solvers.grids.

        >>> sde_vae.load_prior("digits").sample(2, steps=5).shape
        (2, 8, 8, 1)
        """
        decoder = Decoder(self.sde, solver, grid(self.sde, whole(steps, "steps", 1)))
        sampler = make_sampler(from_prior(decoder, self._score_of, self.image_shape), batch_size)
        index = np.arange(whole(n, "n", 1), dtype=np.int32)
        return to_unit(sampler(self.params, stream(seed, "sample"), index, "sample" if progress else None))

    def _checked(self, x: Any, t: Any) -> tuple[Points, PerExample]:
        x, t = (np.asarray(a, np.float32) for a in (x, t))
        if x.ndim != 1 + len(self.image_shape) or x.shape[1:] != self.image_shape:
            raise BadInput(f"x: got an array of shape {x.shape}, expected {('n', *self.image_shape)}")
        if t.shape not in ((), x.shape[:1]):
            raise BadInput(f"t: got an array of shape {t.shape}, expected one time or {x.shape[0]}, one for each image")
        if not np.all((t >= self.sde.t_min) & (t <= self.sde.T)):
            raise BadInput(
                f"t: got {t.min():g} to {t.max():g}, expected times from {self.sde.t_min:g} to {self.sde.T:g}"
            )
        return jnp.asarray(x), jnp.broadcast_to(jnp.asarray(t), x.shape[:1])
