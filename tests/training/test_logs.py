"""The log of a stage: what is in it after a resume."""

import json

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
