import json

from sde_vae import files
from sde_vae.training import logs


def test_resuming_drops_what_comes_after_and_a_cut_line(tmp_path):
    with logs.MetricsLog(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": 1.0 / step})
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 4, "lo')
    assert [row["step"] for row in logs.read(path)] == [1, 2, 3]
    with logs.MetricsLog(tmp_path, 2) as log:
        log.write(3, {"loss": 7.0})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": 7.0},
    ]
    assert list((tmp_path / "tb").iterdir())


def test_write_text_leaves_the_old_file_or_the_new(tmp_path):
    files.write_json(tmp_path / "a" / "b.json", {"x": 1})
    files.write_json(tmp_path / "a" / "b.json", {"x": 2})
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == {"x": 2}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.json"]
