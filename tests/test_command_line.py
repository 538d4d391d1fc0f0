"""The words of the command line: what each sets, and that no word is dropped."""

import json

import pytest

from sde_vae.build.config import load_config
from sde_vae.cli import parse, split_words
from sde_vae.errors import BadInput

TRAIN = ["--config", "scorevae_digits", "--mode", "train"]


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--config.data.skip_corrupt"], "data.skip_corrupt", True),
        (["--config.data.skip_corrupt", "False"], "data.skip_corrupt", False),
        (["--config.data.skip_corrupt=false"], "data.skip_corrupt", False),
        (["--config.data.skip_corrupt", "--config.seed=3"], "data.skip_corrupt", True),
        (["--config.model.prior.multipliers", "(1, 2, 2)"], "model.prior.multipliers", (1, 2, 2)),
        (["--config.model.prior.multipliers=1,2"], "model.prior.multipliers", (1, 2)),
        (["--config.stages.prior.steps", "1e3"], "stages.prior.steps", 1000),
        (["--config.sampling.prior_below=None"], "sampling.prior_below", None),
        (["--config.sampling.prior_below", "-1.5"], "sampling.prior_below", -1.5),
        (["--config.eval.lpips=None"], "eval.lpips", ()),
        (["--config.data.dir="], "data.dir", ""),
    ],
)
def test_a_word_sets_its_field(words, field, value):
    config = parse([*TRAIN, *words]).config
    for part in field.split("."):
        config = config[part]
    assert config == value
    assert type(config) is type(value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.model.prior.multipliers=(1,2)", "--config.model.prior.multipliers=(1,2,2)"], "given twice"),
        (["--config.data.skip_corrupt", "False", "True"], "'True': not an option"),
        (["--config.data.skip_corrupt", "maybe"], "config.data.skip_corrupt: got 'maybe', expected True or False"),
        (["--config.seed"], "--config.seed: expected a value after it"),
        (["--config.seed", "1", "2"], "'2': not an option"),
        (["run"], "'run': not an option"),
        (["--config.seed=1", "--config.seed=1"], "given twice"),
        (["--config.seed=4294967296"], "config.seed: got '4294967296', expected"),
    ],
)
def test_no_word_is_dropped_or_added_to_another(words, message):
    with pytest.raises(BadInput) as error:
        parse([*TRAIN, *words])
    assert message in str(error.value)


@pytest.mark.parametrize("seed", ["4294967296", "-1", "1e3", "0x1", "9" * 5000])
def test_a_seed_of_more_than_32_bits_is_refused_and_so_is_what_is_none(seed):
    words = ["--config", "scorevae_digits", "--mode", "sample", "--sample_seed"]
    assert parse([*words, "4294967295"]).sample_seed == 2**32 - 1
    with pytest.raises(
        BadInput, match=r"^--sample_seed: got '.*, expected a whole number, at least 0 and below 2\*\*32$"
    ):
        parse([*words, seed])


@pytest.mark.parametrize("workdir", ["~/runs/mine", "~"])
def test_a_tilde_in_workdir_is_the_home(tmp_path, monkeypatch, workdir):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    expected = tmp_path / "home" / workdir[2:]
    assert parse([*TRAIN, "--workdir", workdir]).directory == expected
    assert parse([*TRAIN, f"--workdir={workdir}"]).directory == expected
    expected.mkdir(parents=True)
    (expected / "config.json").write_text(json.dumps({"config": load_config("scorevae_digits").to_dict()}))
    assert parse(["--mode", "sample", "--workdir", workdir]).directory == expected


def test_every_word_is_in_what_is_returned():
    options, changes = split_words(["--mode=train", "--config.seed=1", "--workdir", "a b", "--config.data.dir", "x=y"])
    assert options == {"mode": "train", "workdir": "a b"}
    assert changes == {"seed": "1", "data.dir": "x=y"}


def test_a_runs_own_config_is_trained_in_its_own_folder_or_elsewhere(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"config": load_config("scorevae_digits").to_dict()}))
    words = ["--config", str(tmp_path / "config.json"), "--mode", "train"]
    assert parse(words).directory == tmp_path
    assert parse([*words, "--workdir", "other"]).directory.name == "other"
    assert parse(words).config == load_config("scorevae_digits")
