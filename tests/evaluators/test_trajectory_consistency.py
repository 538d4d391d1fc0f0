"""The error along a solver's trajectories: the same at all levels where scores agree, and known where they do not."""

import jax.numpy as jnp

from sde_vae.evaluators.trajectory_consistency import trajectory_consistency
from sde_vae.inference.decoding import Decoder
from sde_vae.solvers.exponential import ddim
from sde_vae.solvers.grids import uniform_log_snr
from tests.evaluators.test_multi_sample import GAIN, SDE, V, context, score


def levels_of(found, which):
    return sorted({float(name.split("/")[2]) for name in found if name.startswith(f"trajectory_consistency/{which}/")})


def test_of_exact_scores_it_is_the_error_of_z_alone_everywhere(tmp_path):
    """E[x_0 | z] = GAIN z errs by V (1 - GAIN), in [0, 1] a quarter; trajectories scatter as much again, which is taken off."""
    exact = context(tmp_path, score=score)
    deterministic = Decoder(SDE, ddim(), uniform_log_snr(SDE, 100))
    found = dict(trajectory_consistency(exact._replace(model=exact.model._replace(inverter=deterministic))))
    for which in ("decoder", "inverter"):
        levels = levels_of(found, which)
        assert len(levels) == 9
        for level in levels:
            got, error = (found[f"trajectory_consistency/{which}/{level:.1f}/mse{end}"] for end in ("", "_stderr"))
            assert abs(got - 0.25 * V * (1 - GAIN)) < 4 * error, (which, level)
    assert list(tmp_path.rglob("trajectory_consistency.png"))


def test_where_scores_disagree_it_tells_by_how_much(tmp_path):
    """Below logSNR 0 the score is that of another z: E[x_0 | x_t, z] is then off by GAIN times the difference."""
    off = 2.0

    def torn(z):
        right, wrong = score(z), score(z + off)
        return lambda x, t: jnp.where((SDE.log_snr(t) < 0)[:, None, None, None], wrong(x, t), right(x, t))

    found = dict(trajectory_consistency(context(tmp_path, score=torn)))
    levels, exact = levels_of(found, "decoder"), 0.25 * V * (1 - GAIN)
    errors = {level: found[f"trajectory_consistency/decoder/{level:.1f}/mse"] - exact for level in levels}
    first = levels[0]
    assert (
        abs(errors[first] - 0.25 * (GAIN * off) ** 2)
        < 5 * found[f"trajectory_consistency/decoder/{first:.1f}/mse_stderr"] + 0.01
    )
    # What was drawn into x_t before is not forgotten at once, and not all of it is kept.
    after = min(level for level in levels if level > 0)
    rounding = 3 * found[f"trajectory_consistency/decoder/{levels[-1]:.1f}/mse_stderr"]
    assert 0 < errors[after] < errors[first]
    assert 0 < errors[levels[-1]] < errors[after] + rounding
