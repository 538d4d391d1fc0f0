"""The fields of a config: their defaults are allowed, and values come in from text."""

import json

import numpy as np
import pytest

from sde_vae.build.config import EXAMPLES, checked, fields, find_config, load_config, require_field, set_fields
from sde_vae.build.fields import default_config, walk
from sde_vae.errors import BadInput
from sde_vae.training.workdir import flatten

FIELDS = dict(walk())


@pytest.mark.parametrize("name", FIELDS)
def test_a_default_is_allowed_by_its_own_field(name):
    default, meaning, allowed, _ = FIELDS[name]
    assert allowed.read(default) == default
    assert type(allowed.read(default)) is type(default)
    # As a command line and a config.json give it back.
    assert allowed.read(default if isinstance(default, str) else repr(default)) == default
    assert allowed.read(json.loads(json.dumps(default))) == default
    assert meaning
    assert allowed.text


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.allowed.names])
def test_every_choice_of_a_field_is_allowed(name):
    default, _, allowed, _ = FIELDS[name]
    for choice in allowed.names:
        config = default_config()
        config.update_from_flattened_dict({name: (choice,) if isinstance(default, tuple) else choice})
        assert flatten(checked(config).to_dict())[name] == ((choice,) if isinstance(default, tuple) else choice)


def test_the_default_config_is_the_fields_and_is_allowed():
    config = default_config()
    assert checked(config) == config
    assert flatten(config.to_dict()) == {name: field.default for name, field in FIELDS.items()}
    assert fields() == FIELDS
    assert load_config("default") == config


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_loads_by_name_and_by_path(path):
    config = load_config(path.stem)
    assert config == load_config(path) == load_config(f"configs/{path.name}")
    assert config.is_locked
    assert checked(config) == config


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
        ("model.prior.attention", None, ()),
        ("model.prior.multipliers", (np.int64(1), 2.0), (1, 2)),
        ("eval.lpips", "None", ()),
        ("eval.lpips", "()", ()),
        ("eval.lpips", "(alex, vgg)", ("alex", "vgg")),
        ("eval.evaluators", "samples,latents", ("samples", "latents")),
        ("data.dir", None, ""),
        ("model.latent_dim", "4", 4),
        ("model.latent_dim", "1e3", 1000),
        ("model.latent_dim", 8.0, 8),
        ("model.latent_dim", np.int32(8), 8),
        ("loss.beta", np.float32(0.5), 0.5),
        ("sampling.prior_below", 2, 2.0),
        ("seed", str(2**32 - 1), 2**32 - 1),
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
        ("model.latent_dim", "4.5", "got '4.5', expected a whole number from 1 to 65536"),
        ("model.latent_dim", "four", "got 'four', expected a whole number from 1 to 65536"),
        ("model.latent_dim", True, "got True, expected a whole number from 1 to 65536"),
        ("loss.beta", "much", "got 'much', expected a number from 0 to 1e+06"),
        ("loss.beta", None, "got None, expected a number from 0 to 1e+06"),
        ("data.skip_corrupt", "perhaps", "got 'perhaps', expected True or False"),
        ("data.skip_corrupt", "1", "got '1', expected True or False"),
        ("sampling.solver", 3, "got 3, expected one of euler_maruyama, "),
        ("eval.evaluators", "(latents, latents)", "got '(latents, latents)', expected a tuple of "),
        ("eval.name", "../elsewhere", "got '../elsewhere', expected a letter or digit, then"),
        ("data.dir", "a\nb", "got 'a\\nb', expected text without control characters"),
        ("loss.beta", "9" * 5000, "... (5002 characters), expected a number"),
    ],
)
def test_a_value_that_a_field_does_not_take_is_refused(name, value, message):
    with pytest.raises(BadInput) as error:
        set_fields(default_config(), {name: value})
    assert str(error.value).startswith(f"config.{name}: got ")
    assert message in str(error.value)
    assert len(str(error.value)) < 600


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


HEAD = "from sde_vae import load_config\ndef get_config():\n    config = load_config('default')\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "def get_config(): return 1 / 0",
            " does not load: line 1, 'def get_config(): return 1 / 0': ZeroDivisionError",
        ),
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("def get_config(:\n", " does not load: line 1, 'def get_config(:': SyntaxError: invalid syntax"),
        ("\x00", "does not load: "),
        ("config = 3", " does not load: it has no function get_config()"),
        ("def get_config(): return 3", "does not load: AttributeError: 'int' object has no attribute 'to_dict'"),
        ("import sys\nsys.exit(3)", " does not load: line 2, 'sys.exit(3)': SystemExit: 3"),
        (
            "from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({'seed': 0})",
            ": lacks config.data.",
        ),
        (
            HEAD + "    config.unlock()\n    config.loss.alpha = 1.0\n    return config",
            ": has an unknown field config.loss.alpha",
        ),
        (
            HEAD + "    config.model.latent_dimm = 3\n    return config",
            "line 4, 'config.model.latent_dimm = 3': there is no field 'latent_dimm'; did you mean config.model.latent_dim?",
        ),
        (HEAD + "    config.model = 3\n    return config", "line 4, 'config.model = 3': TypeError: Could not override"),
        (
            HEAD + "    config.model.latent_dim = 'many'\n    return config",
            ": config.model.latent_dim: got 'many', expected a whole number",
        ),
    ],
)
def test_a_config_file_that_is_wrong_is_refused_in_a_line(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(BadInput) as error:
        load_config(path)
    assert str(error.value).startswith(f"--config: {path}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 400


def test_a_config_file_takes_what_people_write(tmp_path):
    (tmp_path / "mine.py").write_text(
        HEAD
        + "    config.stages.prior.steps = 1e3\n    config.loss.beta = 1\n    config.eval.lpips = None\n"
        + "    config.model.prior.attention = [8]\n    return config"
    )
    config = load_config(tmp_path / "mine.py")
    values = (config.stages.prior.steps, config.loss.beta, config.eval.lpips, config.model.prior.attention)
    assert values == (1000, 1.0, (), (8,))
    assert [type(value) for value in values] == [int, float, tuple, tuple]


def test_a_recorded_config_is_a_config(tmp_path):
    config = set_fields(load_config("scorevae_digits"), {"model.latent_dim": 3})
    (tmp_path / "config.json").write_text(json.dumps({"config": config.to_dict()}))
    assert load_config(tmp_path / "config.json") == config
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(BadInput, match=r"--config: .*config\.json is not the config of a run"):
        load_config(tmp_path / "config.json")


def test_a_config_that_is_not_there_names_the_nearest_and_lists_all():
    with pytest.raises(BadInput, match=r"got scorevae_digit, but .* did you mean scorevae_digits\? .*betavae_digits, "):
        find_config("scorevae_digit")
