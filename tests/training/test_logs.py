"""The log of a stage: what is in it after a resume."""

import json

import pytest

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


OTHERS = [
    b"[1]",
    b"null",
    b"7",
    b'"x"',
    b"{}",
    b'{"step": "2"}',
    b'{"step": 2, "loss": NaN}',
    b'{"step": 2, "loss": [1]}',
    b"\xff",
    b"",
]


@pytest.mark.parametrize("content", [*OTHERS, b'{"step": 2, "lo', b"[" * 9999])
def test_a_damaged_line_is_named_and_the_good_rows_behind_it_are_kept(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 1.5}\n' + content + b'\n{"step": 3, "loss": null}\n')
    with pytest.warns(UserWarning, match=r"metrics\.jsonl: 1 of 3 lines are damaged and left out: 2$"):
        assert logs.read(path) == [{"step": 1, "loss": 1.5}, {"step": 3, "loss": None}]


def test_what_is_not_finite_is_null(tmp_path):
    with logs.MetricsLog(tmp_path, 0) as log:
        log.write(1, {"loss": float("inf"), "loss/kl": 1.0})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": null, "loss/kl": 1.0}\n'
