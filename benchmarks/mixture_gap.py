"""The sources of ScoreVAE's error where everything is known: a mixture in the plane, z one number, the prior exact.

    python -m benchmarks.mixture_gap [--separations 0.5 1 2] [--steps 500 2000 8000]

z = A x_0 + noise is given, and p(z | x_t) is a mixture of Gaussians, so no Gaussian q(z | x_t) is exact. The error of a conditional
score is the nats by which it loosens the bound, 1/2 int E || sigma (s - s_exact) ||^2 dl. Rows of the table:

    no z            the prior's score
    any Gaussian    a lower bound for every Gaussian q, whose gradient in x is quadratic in z: the best quadratic in z at each (x_t, t),
                    in L2 of p(z | x_t), by Gauss-Hermite quadrature
    by moments      the Gaussian with the moments of p(z | x_t): an upper bound for the best Gaussian
    trained, n      an encoder trained for n steps on this error
    lifted          an encoder whose log q is quadratic in learnt statistics of z too (methods/posteriors.py); `any Gaussian` does not
                    bound it
    + correction    a residual c(x, z, t) on the encoder of most steps, trained for as many: a gate times a network
                    (methods/correction.py)
    zero, as noise  the same without the gate, its last layer zero at the start, and learnt as noise instead of velocity
    from scratch    the same network without prior and encoder, for as many steps (DiffDecoder)

Writes benchmarks/results/mixture_gap.{json,md}.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from benchmarks.arguments import parser_of
from benchmarks.record import record
from sde_vae import runtime
from sde_vae.arrays import keys_of, normal
from sde_vae.diffusion.kl_penalty import kl_penalty
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.scores import bayes, noise_of_velocity, score_of_noise
from sde_vae.diffusion.sdes import VP, diffuse, log_snr_range
from sde_vae.diffusion.time_samplers import times_uniform_in_log_snr
from sde_vae.diffusion.weights import likelihood_weighting
from sde_vae.methods.correction import Corrector, corrected
from sde_vae.methods.method import Method
from sde_vae.methods.posteriors import lifted, noisy_input
from sde_vae.methods.prior import precondition
from sde_vae.methods.score_vae import score_vae
from sde_vae.metrics.image.distances import standard_error
from sde_vae.nets.encoder import Encoder
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import Network, network
from sde_vae.reporting.tables import figure
from sde_vae.training.train_state import adam, cosine, init_state, make_update
from sde_vae.types import Batch, Params, PRNGKey, ScoreFn
from tests.helpers.oracles import Mixture

SDE = VP(t_min=1e-2)
BATCH, POINTS, NODES, RATE, STATISTICS = 512, 1024, 16, 3e-3, 16
CHUNK = 256
TIMES, WEIGHT = times_uniform_in_log_snr(SDE, BATCH), likelihood_weighting()
# Score(params, z) -> what is trained.
Score = Callable[[Params, jax.Array], ScoreFn]


def world(separation: float) -> Mixture:
    """Three components, `separation` times as far from each other as in the tests, and not told apart by z alone."""
    means = separation * jnp.array([[1.2, 0.3], [-0.9, 1.0], [0.1, -1.2]])
    return Mixture(jnp.array([0.3, 0.4, 0.3]), means, 0.04, jnp.array([[1.0, 0.5]]), 0.3)


def train(init: Callable[[PRNGKey], Params], score: Score, w: Mixture, steps: int, label: str) -> Params:
    def loss(params, frozen, key, batch):
        key_world, key = jax.random.split(key)
        x_0, z = w.sample(key_world, BATCH)
        total = jnp.mean(denoising(SDE, score(params, z), TIMES, WEIGHT, key, Batch(x_0, batch.index)))
        return total, {"loss": total}

    method, optimiser = Method(init, loss), adam(RATE, steps, min(100, steps // 5), 1.0, cosine)
    update, index = jax.jit(make_update(method, optimiser, 0.999)), jnp.arange(BATCH)
    state = init_state(method, optimiser, jax.random.key(0))
    for _ in tqdm(range(steps), desc=label, unit="step"):
        state, _ = update(state, {}, jax.random.key(1), Batch(jnp.zeros((BATCH, 2)), index))
    return state.ema_params


class Points:
    """Samples of (x_t, t, z), stratified in logSNR, at which all errors are evaluated; those of networks in float32."""

    def __init__(self, w: Mixture) -> None:
        index = jnp.arange(POINTS)
        x_0, z = w.sample(jax.random.key(11), POINTS)
        t, _ = times_uniform_in_log_snr(SDE, POINTS)(jax.random.key(12), index)
        x = diffuse(SDE, x_0, t, normal(keys_of(jax.random.key(13), index), x_0))
        low, high = log_snr_range(SDE)
        self.nats = np.asarray(0.5 * (high - low) * SDE.sigma(t) ** 2)
        self.x, self.t, self.z = (np.asarray(a) for a in (x, t, z))
        self.exact = np.asarray(evaluate(lambda z: w.conditional_score(SDE, z), x, t, z))

    def errors(self, score: Callable[[jax.Array], ScoreFn]) -> np.ndarray:
        """Nats at each sample, in the current precision."""
        x, t, z = jnp.asarray(self.x), jnp.asarray(self.t), jnp.asarray(self.z)
        found = np.asarray(evaluate(score, x, t, z), np.float64)
        return self.nats * np.sum((found - self.exact) ** 2, axis=1)

    def of_any_gaussian(self, w: Mixture) -> np.ndarray:
        """The residual of the best quadratic in z at each (x_t, t), under p(z | x_t)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)

        def one(x, t):
            log_r, means, cov = w.z_posterior(SDE, x, t)
            z = (means[:, :1] + jnp.sqrt(cov[0, 0]) * jnp.asarray(nodes)[None]).reshape(-1)
            p = (jnp.exp(log_r)[:, None] * jnp.asarray(weights / weights.sum())[None]).reshape(-1)
            many = lambda score: score(jnp.broadcast_to(x, (len(z), 2)), jnp.full(len(z), t))
            gradient = many(w.conditional_score(SDE, z[:, None])) - many(w.marginal_score(SDE))
            # In units of its own spread, or the powers of z would be nearly dependent.
            mean = p @ z
            u = (z - mean) / jnp.sqrt(p @ (z - mean) ** 2)
            root = jnp.sqrt(p)[:, None]
            basis, target = root * jnp.stack([jnp.ones_like(u), u, u**2], axis=1), root * gradient
            residual = target - basis @ jnp.linalg.solve(basis.T @ basis, basis.T @ target)
            return jnp.sum(residual**2)

        # In chunks: all points at once take minutes where these take seconds.
        of_all = jax.jit(lambda x, t: jax.lax.map(lambda point: one(*point), (x, t), batch_size=CHUNK))
        return self.nats * np.asarray(of_all(jnp.asarray(self.x), jnp.asarray(self.t)))


def evaluate(score: Callable[[jax.Array], ScoreFn], x: jax.Array, t: jax.Array, z: jax.Array) -> jax.Array:
    # z as an argument: of a constant the compiler would compute half of the score itself, at great length.
    return jax.jit(lambda x, t, z: score(z)(x, t))(x, t, z)


def errors(separation: float, steps: list[int]) -> dict[str, np.ndarray]:
    """Name -> nats at each sample."""
    w = world(separation)
    with jax.enable_x64(True):
        points = Points(w64 := world(separation))
        prior64 = w64.marginal_score(SDE)
        found = {
            "no z": points.errors(lambda z: prior64),
            "any Gaussian": points.of_any_gaussian(w64),
            "by moments": points.errors(lambda z: bayes(prior64, w64.gaussian_log_likelihood(SDE, z))),
        }
    prior = w.marginal_score(SDE)
    exact = Method(None, None, unconditional=lambda params, frozen: prior)
    # The exact prior has no parameters.
    none = {"prior": None}
    posterior = lambda dims: noisy_input(SDE, network(Encoder(MLP(64, 128, 3, zero=False), dims), (2,)))
    by = lambda q: score_vae(SDE, exact, q, TIMES, WEIGHT, kl_penalty(0.0))
    statistics = network(MLP(STATISTICS, 128, 3, zero=False), (1,))
    encoder, by_lifted = by(posterior(1)), by(lifted(SDE, posterior(1 + STATISTICS), 1, statistics))
    residual, zero = (network(MLP(2, 128, 3, zero=zero), (3,)) for zero in (False, True))

    def learnt(name, init, score, n):
        params = train(init, score, w, n, f"separation {separation:g}, {name}")
        found[name] = points.errors(partial(score, params))
        return params

    for n in steps:
        params = learnt(f"trained, {n}", encoder.init, lambda params, z: encoder.score(params, none, z), n)
    most = max(steps)
    learnt("lifted", by_lifted.init, lambda params, z: by_lifted.score(params, none, z), most)

    output = lambda net, params, x, t, z: precondition(SDE, joined(net, z), params, x, t)
    corrector = Corrector(residual.init, lambda psi, prior, x, t, z, keys: output(residual, psi, x, t, z))
    plus = corrected(SDE, encoder, encoder, corrector, TIMES, WEIGHT)
    learnt("+ correction", plus.init, lambda psi, z: plus.score(psi, none | {"encoder": params}, z), most)

    def as_noise(psi, z):
        base = encoder.score(params, none, z)
        return lambda x, t: base(x, t) + score_of_noise(SDE, output(zero, psi, x, t, z), t)

    def by_network(params, z):
        return lambda x, t: score_of_noise(SDE, noise_of_velocity(SDE, output(zero, params, x, t, z), x, t), t)

    learnt("zero, as noise", zero.init, as_noise, most)
    learnt("from scratch", zero.init, by_network, most)
    return found


def joined(net: Network, z: jax.Array) -> Network:
    """Of (x, z). x alone is scaled to unit variance; z has about that."""
    return net._replace(apply=lambda params, x, log_snr: net.apply(params, jnp.concatenate([x, z], axis=1), log_snr))


def main() -> None:
    parser = parser_of("benchmarks.mixture_gap", __doc__)
    parser.add_argument("--separations", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    parser.add_argument("--steps", type=int, nargs="+", default=[500, 2000, 8000])
    options = parser.parse_args()
    runtime.enable_compilation_cache()
    found = {f"{s:g}": errors(s, sorted(options.steps)) for s in options.separations}
    names = list(next(iter(found.values())))
    mean = lambda nats: (float(nats.mean()), standard_error(nats))
    rows = [[name, *(figure(*mean(of[name])) for of in found.values())] for name in names]
    # Paired: on the same samples.
    trained = f"trained, {max(options.steps)}"
    rows += [
        [f"{trained}, less any Gaussian", *(figure(*mean(of[trained] - of["any Gaussian"])) for of in found.values())]
    ]
    figures = {
        s: {name: dict(zip(("nats", "stderr"), mean(nats), strict=True)) for name, nats in of.items()}
        for s, of in found.items()
    }
    notes = (
        f"Nats by which the bound is looser than with the exact p(x | z) (↓), ± one standard error over {POINTS} samples of (x_t, t, z). "
        f"Batch {BATCH}, Adam at {RATE} with a cosine, likelihood weight, one seed; the encoder, the residual and the {STATISTICS} statistics are MLPs of three blocks of 128."
    )
    record(
        "mixture_gap",
        "Where the error comes from: a mixture in the plane",
        {"rows": figures},
        ["separation", *found],
        rows,
        notes,
    )


if __name__ == "__main__":
    main()
