"""Fields that a config does not read: declared beside the fields, found true by watching what building reads, and said."""

import pytest
from ml_collections import ConfigDict

from benchmarks.faults.config_walk import tiny_configs
from sde_vae import cli
from sde_vae.build import experiment
from sde_vae.build.config import fields, load_config, set_fields
from sde_vae.build.fields import BY_BAYES, ESTIMATORS, METHODS, SDES, SOLVERS, default_config
from sde_vae.build.unread import absent_attention, unread


class Watched(ConfigDict):
    """A config that notes the names of the fields that are read."""

    def __init__(self, config: ConfigDict, prefix: str = "", seen: set | None = None) -> None:
        super().__init__()
        object.__setattr__(self, "seen", set() if seen is None else seen)
        object.__setattr__(self, "prefix", prefix)
        for name in config:
            value = config[name]
            self[name] = Watched(value, f"{prefix}{name}.", self.seen) if isinstance(value, ConfigDict) else value

    def __getitem__(self, name: str):
        value = super().__getitem__(name)
        if not isinstance(value, ConfigDict):
            self.seen.add(f"{self.prefix}{name}")
        return value


# Passed on to functions that use what they need.
PASSED_ON = ("data.", "sampling.rho", "loss.")
CONFIGS = (
    *({"method": method} for method in METHODS if method not in ("prior", *ESTIMATORS, *BY_BAYES)),
    *({"method": method, "eval.evaluators": ("restoration",)} for method in (*ESTIMATORS, *BY_BAYES)),
    {"method": "prior", "eval.evaluators": ("samples",)},
    *({"sde.name": sde} for sde in SDES),
    *({"sampling.solver": solver} for solver in SOLVERS),
)


@pytest.mark.parametrize("changes", CONFIGS, ids=lambda changes: next(iter(changes.values())))
def test_building_reads_no_field_that_is_declared_unread(changes, monkeypatch):
    monkeypatch.setattr(experiment, "checked", lambda config: config)
    config = Watched(set_fields(default_config(), {"sampling.prior_above": 0.0, **changes}))
    config.seen.clear()
    experiment.build(config)
    seen = set(config.seen)
    declared = {name for name, field in fields().items() if not field.reader.holds(config)}
    # beta_vae has a solver and does not call it; its networks are in float32, whatever dtype and precision say.
    passed_on = (
        (*PASSED_ON, "sampling.", "model.dtype", "model.precision") if config.method == "beta_vae" else PASSED_ON
    )
    assert {name for name in seen & declared if not name.startswith(passed_on)} == set()
    assert len(declared) > 20
    assert len(seen - declared) > 35


def test_every_field_is_read_by_some_config_and_most_by_all_that_declare_it():
    conditional = {name for name, field in fields().items() if field.reader.text}
    assert len(conditional) > 60
    for name in conditional:
        holds = [fields()[name].reader.holds(config) for _, config in tiny_configs()]
        assert any(holds)
        assert not all(holds), f"{name} is read by all: declare it so, or add a config that does not read it"


def test_a_field_that_is_set_and_not_read_is_named_with_what_reads_it(capsys):
    words = ["--config", "scorevae_digits", "--mode", "train", "--config.sde.sigma_max=9", "--config.sde.beta_max=9"]
    cli.parse(words)
    assert capsys.readouterr().out == (
        "note: config.sde.sigma_max has no effect here: it is read only where sde.name is ve\n"
    )
    # The values of a config file do not count.
    cli.parse(["--config", "scorevae_digits", "--mode", "train", "--config.method=beta_vae"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"method": "beta_vae"}, "model.prior.channels"),
        ({"method": "beta_vae"}, "stages.encoder.weight"),
        ({"method": "beta_vae"}, "sampling.solver"),
        ({"method": "diff_decoder"}, "model.encoder.input"),
        ({"method": "pdae"}, "model.encoder.input"),
        ({"method": "pdae"}, "model.decoder.channels"),
        ({"method": "pdae"}, "model.shift.channels"),
        ({"stages.correction.steps": 1, "model.correction.body": "head"}, "model.correction.multipliers"),
        ({"stages.correction.steps": 1, "model.correction.body": "head"}, "model.correction.attention"),
        ({}, "model.shift.dropout"),
        ({}, "model.decoder.blocks"),
        ({}, "model.likelihood.log_var"),
        ({}, "stages.correction.learning_rate"),
        ({}, "stages.latent.weight"),
        ({}, "synthetic.share"),
        ({"prior.checkpoint": "elsewhere"}, "stages.prior.steps"),
        ({}, "sampling.churn"),
        ({}, "sampling.rtol"),
        ({}, "sampling.rho"),
        ({}, "data.crop"),
        ({}, "data.dir"),
        ({"eval.lpips": None}, "eval.lpips_dir"),
        ({"loss.beta": 0}, "loss.free_bits"),
    ],
)
def test_what_a_config_does_not_read(changes, name):
    config = set_fields(load_config("default"), changes)
    (note,) = unread(config, [name])
    assert note.startswith(f"note: config.{name} has no effect here: it is read only where ")


def test_attention_at_a_size_that_never_occurs_is_said():
    config = set_fields(
        load_config("scorevae_digits"), {"model.prior.attention": (16, 4), "model.encoder.attention": 3}
    )
    assert absent_attention(config) == [
        "note: config.model.prior.attention: there is no attention at 16: the images of this network have the sizes 8, 4",
        "note: config.model.encoder.attention: there is no attention at 3: the images of this network have the sizes 8, 4",
    ]
    # Not of a network that there is not.
    assert (
        absent_attention(
            set_fields(
                config, {"model.prior.attention": 4, "model.encoder.attention": (), "model.decoder.attention": 16}
            )
        )
        == []
    )
