"""The page of the config fields is the one that the fields make."""

from sde_vae.build import config_page, fields


def test_the_page_is_fresh(capsys):
    assert config_page.main(["--check"]) == 0, capsys.readouterr().err


def test_every_field_has_a_row():
    rows = [line.split("`")[1] for line in config_page.page().splitlines() if line.startswith("| `")]
    assert len(set(rows)) == len(rows)
    for name, _ in fields.walk():
        of_all_stages = "stages.STAGE." + name.split(".")[-1]
        assert name in rows or (name.startswith("stages.") and of_all_stages in rows), name
    assert (
        "| `eval.lpips` | `('alex', 'vgg')` | a tuple of alex, vgg | networks of LPIPS, from the extra `metrics`;"
        in (config_page.page())
    )


def test_a_stale_page_is_named_with_what_mends_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(config_page, "PAGE", tmp_path / "config.md")
    assert config_page.main(["--check"]) == 1
    assert config_page.COMMAND in capsys.readouterr().err
    assert config_page.main([]) == 0
    assert config_page.main(["--check"]) == 0
    (tmp_path / "config.md").write_text("old")
    assert config_page.main(["--check"]) == 1


def test_an_unknown_argument_is_refused(capsys):
    assert config_page.main(["--chekc"]) == 2
    assert "--chekc" in capsys.readouterr().err
