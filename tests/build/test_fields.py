"""The fields of a config: their defaults are allowed, and values come in from text."""

import pytest

from sde_vae.build.config import EXAMPLES, check, fields, find_config, load_config, require_field, set_fields
from sde_vae.build.fields import default_config, walk
from sde_vae.errors import BadInput
from sde_vae.training.workdir import flatten

FIELDS = dict(walk())


@pytest.mark.parametrize("name", FIELDS)
def test_a_default_is_allowed_by_its_own_field(name):
    default, meaning, allowed = FIELDS[name]
    assert allowed.holds(default)
    assert meaning
    assert allowed.text


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.allowed.names])
def test_every_choice_of_a_field_is_allowed(name):
    default, _, allowed = FIELDS[name]
    for choice in allowed.names:
        config = default_config()
        config.update_from_flattened_dict({name: (choice,) if isinstance(default, tuple) else choice})
        check(config)


def test_the_default_config_is_the_fields_and_is_allowed():
    config = default_config()
    check(config)
    assert flatten(config.to_dict()) == {name: field.default for name, field in FIELDS.items()}
    assert fields() == FIELDS
    assert load_config("default") == config


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_loads_by_name_and_by_path(path):
    config = load_config(path.stem)
    assert config == load_config(path) == load_config(f"configs/{path.name}")
    assert config.is_locked
    check(config)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("data.skip_corrupt", "True", True),
        ("data.skip_corrupt", "false", False),
        ("model.prior.multipliers", "(1, 2)", (1, 2)),
        ("model.prior.multipliers", "[1, 2]", (1, 2)),
        ("model.prior.multipliers", "1, 2", (1, 2)),
        ("model.prior.attention", "16", (16,)),
        ("model.prior.attention", "()", ()),
        ("model.latent_dim", "4", 4),
        ("stages.prior.learning_rate", "1e-3", 1e-3),
        ("stages.prior.learning_rate", "1", 1.0),
        ("loss.beta", 1, 1.0),
        ("sampling.prior_below", "-2", -2.0),
        ("sampling.prior_below", "None", None),
        ("sampling.solver", "heun", "heun"),
        ("data.dir", "2024", "2024"),
        ("eval.evaluators", "('samples', 'latents')", ("samples", "latents")),
        ("eval.evaluators", "'samples'", ("samples",)),
        ("eval.evaluators", ["samples"], ("samples",)),
    ],
)
def test_a_value_has_the_type_of_its_field(name, text, value):
    config = default_config()
    changed = set_fields(config, {name: text})
    found = flatten(changed.to_dict())
    assert found[name] == value
    assert type(found[name]) is type(value)
    # The rest, and the config that was given, are as before.
    assert {n for n, v in found.items() if v != FIELDS[n].default} <= {name}
    assert flatten(config.to_dict()) == {n: field.default for n, field in FIELDS.items()}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model.latent_dim", "4.5", "config.model.latent_dim: got 4.5, expected a whole number"),
        ("model.latent_dim", "four", "config.model.latent_dim: got 'four', expected a whole number"),
        ("model.latent_dim", True, "config.model.latent_dim: got True, expected a whole number"),
        ("loss.beta", "much", "config.loss.beta: got 'much', expected a number"),
        ("loss.beta", None, "config.loss.beta: got None, expected a number"),
        ("data.skip_corrupt", "perhaps", "config.data.skip_corrupt: got 'Perhaps', expected True or False"),
        ("data.skip_corrupt", "1", "config.data.skip_corrupt: got 1, expected True or False"),
        ("sampling.solver", 3, "config.sampling.solver: got 3, expected text"),
        ("model.prior.multipliers", 1.5, "config.model.prior.multipliers: got 1.5, expected a tuple"),
    ],
)
def test_a_value_of_another_type_is_refused(name, value, message):
    with pytest.raises(BadInput) as error:
        set_fields(default_config(), {name: value})
    assert str(error.value).lower() == message.lower()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sampling.step", "did you mean config.sampling.steps?"),
        ("stage.prior.steps", "did you mean config.stages.prior.steps?"),
        ("model.latent_dimension", "did you mean config.model.latent_dim?"),
        ("beta", "did you mean config.loss.beta?"),
        ("nothing.at.all", "docs/config.md lists them all"),
        # A section is no field.
        ("sampling", "did you mean config.sampling.snr?"),
    ],
)
def test_an_unknown_field_names_the_nearest(name, hint):
    for refuse in (require_field, lambda name: set_fields(default_config(), {name: 1})):
        with pytest.raises(BadInput) as error:
            refuse(name)
        assert str(error.value) == f"config.{name}: there is no such field; {hint}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(): return 1 / 0", "does not load: ZeroDivisionError: division by zero"),
        ("import nothing_of_that_name", "does not load: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        (
            "from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({'seed': 0})",
            "lacks config.data.cache",
        ),
        (
            "from sde_vae import load_config\n"
            "def get_config():\n"
            "    config = load_config('default').unlock()\n"
            "    config.loss.alpha = 1.0\n"
            "    return config",
            "has an unknown field config.loss.alpha",
        ),
    ],
)
def test_a_config_file_that_is_wrong_is_refused_in_a_line(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(BadInput) as error:
        load_config(path)
    assert str(error.value) == f"--config: {path} {message}"


def test_a_config_that_is_not_there_names_the_nearest_and_lists_all():
    with pytest.raises(BadInput, match=r"got scorevae_digit, but .* did you mean scorevae_digits\? .*betavae_digits, "):
        find_config("scorevae_digit")
