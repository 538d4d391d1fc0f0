"""A small copy of a trained run, and the one that ships with the package."""

import json
import re

import numpy as np
import pytest

import sde_vae
from sde_vae.cli import main as cli
from sde_vae.commands.release import main, public_command
from sde_vae.errors import BadInput
from sde_vae.run import PACKAGED

SHIPPED = PACKAGED / "digits"


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_released_run_released_again_is_the_same(tmp_path, capsys):
    """Half precision is read into float32 and written back without loss."""
    assert main(["digits", str(tmp_path / "again")]) == 0
    again, shipped = files(tmp_path / "again"), files(SHIPPED)
    assert {name: data for name, data in again.items() if name.endswith(".safetensors")} == {
        name: data for name, data in shipped.items() if name.endswith(".safetensors")
    }
    assert f"{sum(map(len, again.values())):,} bytes in all" in capsys.readouterr().out
    assert main(["digits", str(tmp_path / "again")]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert main(["digits"]) == 2


def test_the_shipped_run_is_small_and_names_no_machine():
    assert sum(map(len, files(SHIPPED).values())) < 2_000_000
    text = (SHIPPED / "config.json").read_text()
    assert not re.search(r'"[^"]*(/home|/root|/tmp|/work|[A-Z]:\\)', text)
    facts = json.loads(text)
    assert (facts["data"]["levels"], facts["data"]["splits"]) == (17, {"train": 1077, "valid": 360, "test": 360})
    assert facts["command"] == "python main.py --config configs/scorevae_digits.py --mode train"


def test_the_shipped_run_is_trained():
    """A tenth of the test split; the whole has l2 0.68, and PCA with as many components 0.80."""
    run = sde_vae.load("digits")
    images = run.images("test", 36)
    back = run.decode(run.encode(images).mean, seed=0)
    assert np.sqrt(((back - images) ** 2).sum((1, 2, 3))).mean() < 0.73
    assert run.unfinished() == []


def test_a_packaged_run_is_evaluated_into_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files(SHIPPED)
    assert cli(["--mode", "sample", "--workdir", "digits", "--n", "2", "--config.sampling.steps=2"]) == 0
    assert sorted(p.name for p in (tmp_path / "runs" / "digits" / "samples").iterdir()) == ["0.png", "1.png"]
    assert files(SHIPPED) == before


def test_a_change_that_would_alter_the_shipped_model_is_refused():
    with pytest.raises(BadInput, match=r"config.model.latent_dim: got 4, but .* was trained with 16"):
        sde_vae.load("digits", {"model.latent_dim": 4})


def test_a_damaged_file_is_one_line(tmp_path, capsys):
    assert main(["digits", str(tmp_path / "run")]) == 0
    file = tmp_path / "run" / "encoder" / "ema.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    capsys.readouterr()
    assert cli(["--mode", "sample", "--workdir", str(tmp_path / "run"), "--n", "1"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(
        rf"error: --workdir: {re.escape(str(file))} is damaged \(.*\); copy or install it again\n", error
    )


@pytest.mark.parametrize(
    ("command", "public"),
    [
        ("python main.py --config configs/a.py --mode train", "python main.py --config configs/a.py --mode train"),
        ("python /env/bin/sde-vae --workdir=/x/y --mode train", "python sde-vae --mode train"),
        ("python main.py --workdir /x/y --config.data.dir=/data/faces", "python main.py --config.data.dir=faces"),
    ],
)
def test_a_command_is_shown_without_the_places_of_a_machine(command, public):
    assert public_command(command) == public
