"""Every config field times every bad value: refused in one line, or it builds. The benchmark also trains what builds."""

import jax.numpy as jnp
import pytest

from benchmarks.faults.config_walk import TINY, VALUES, Case, cases, refused_or_built, tiny_configs, train
from sde_vae.build.config import fields, set_fields
from sde_vae.build.fields import default_config
from sde_vae.build.sampling import GRIDS, build_grid
from sde_vae.build.sdes import SDES, build_sde
from sde_vae.diffusion.sdes import LOG_SNR_LIMIT, log_snr_range
from sde_vae.errors import BadInput

# The longest run by `make test-slow`, and those whose fields are the fields of another section.
SLOW = (
    *("data", "sampling", "prior", "stages.correction", "stages.latent"),
    *("model.correction", "model.shift", "model.decoder"),
)
SECTIONS = [
    pytest.param(section, id=section or "run", marks=pytest.mark.slow if section in SLOW else ())
    for section in sorted({name.rpartition(".")[0] for name in fields()})
]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_bad_value_of_every_field_is_refused_in_a_line_or_builds(section):
    names = tuple(name for name in fields() if name.rpartition(".")[0] == section)
    outcomes = {(case.field, case.value): refused_or_built(case) for case in cases(names)}
    assert set(outcomes.values()) <= {"refused", "valid"}
    # No field takes everything, and each takes something.
    assert {field for (field, _), outcome in outcomes.items() if outcome == "refused"} == set(names)


def test_every_field_has_a_config_that_reads_it():
    for name, field in fields().items():
        assert any(field.reader.holds(config) for _, config in tiny_configs()), name


@pytest.mark.parametrize(
    ("field", "value", "outcome"),
    [("seed", "-1", "refused"), ("sde.t_min", "2", "refused"), ("data.channels", "2", "refused")],
)
def test_the_command_line_ends_in_a_line(tmp_path, field, value, outcome):
    assert train(Case(field, value, TINY), tmp_path / "run") == outcome
    assert not (tmp_path / "run").exists()


# Grids of whole times: a continuous SDE has none.
OF_STEPS = ("leading", "linspace", "trailing")


@pytest.mark.parametrize("grid", OF_STEPS)
def test_a_grid_of_whole_steps_is_refused_for_a_continuous_sde(grid):
    config = set_fields(default_config(), {"sampling.grid": grid})
    with pytest.raises(BadInput, match=f"config.sampling.grid: '{grid}' is made of whole steps"):
        build_grid(config, build_sde(config.sde), "heun")
    assert build_grid(config, build_sde(config.sde), "ode").shape == (2,)


@pytest.mark.parametrize("name", SDES)
@pytest.mark.parametrize("grid", sorted(set(GRIDS) - set(OF_STEPS)))
def test_an_sde_that_builds_has_falling_log_snr_and_finite_grids(name, grid):
    """Over values of its fields from the edges of their ranges: what is not refused is sound, and something is refused."""
    edges = {
        "t_min": (1e-6, 1e-3, 0.5),
        "beta_min": (0.0, 0.1, 30.0),
        "beta_max": (1e-3, 20.0, 500.0),
        "log_snr_min": (-33.0, 5.0),
        "log_snr_max": (-5.0, 33.0),
        "sigma_min": (1e-6, 1.0),
        "sigma_max": (0.5, 1e6),
    }
    read = [f for f in edges if fields()[f"sde.{f}"].reader.holds(set_fields(default_config(), {"sde.name": name}))]
    refused = built = 0
    for first in read:
        for second in read:
            for a in edges[first]:
                for b in edges[second]:
                    changes = {"sde.name": name, f"sde.{first}": a, f"sde.{second}": b, "sampling.grid": grid}
                    config = set_fields(default_config(), changes)
                    try:
                        sde = build_sde(config.sde)
                    except BadInput:
                        refused += 1
                        continue
                    built += 1
                    low, high = log_snr_range(sde)
                    assert -LOG_SNR_LIMIT <= low < high <= LOG_SNR_LIMIT
                    times = build_grid(config, sde, "heun")
                    assert bool(jnp.all(jnp.isfinite(times)) & jnp.all(jnp.diff(times) <= 0))
    assert built
    assert refused
    assert len(VALUES) == len(set(VALUES))
