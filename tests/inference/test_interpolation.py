"""Arcs, lines and steps between codes: what holds of all of them."""

import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.inference.interpolation import edit, lerp, slerp, traverse
from sde_vae.metrics.latent import probes
from sde_vae.metrics.latent.directions import direction

RNG = np.random.default_rng(0)
AT = np.linspace(0, 1, 9)
A, B = RNG.standard_normal((2, 50, 6)) * np.exp(RNG.standard_normal((2, 50, 1)))


def unit(a):
    return a / np.linalg.norm(a, axis=-1, keepdims=True)


def angles(path):
    """Between neighbours on the path: [batch, frames - 1]."""
    u = unit(path)
    return 2 * np.arcsin(np.linalg.norm(u[:, 1:] - u[:, :-1], axis=-1) / 2)


@pytest.mark.parametrize("path", [lerp, slerp])
def test_paths_begin_and_end_where_they_should_and_are_the_same_backwards(path):
    found = path(A, B, AT)
    np.testing.assert_allclose(found[:, 0], A, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[:, -1], B, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found, path(B, A, 1 - AT), rtol=1e-11, atol=1e-12)


def test_the_arc_is_the_shortest_at_an_even_speed_and_norms_go_linearly():
    found = slerp(A, B, AT)
    norms = np.linalg.norm(found, axis=-1)
    ends = [np.linalg.norm(x, axis=-1)[:, None] for x in (A, B)]
    np.testing.assert_allclose(norms, (1 - AT)[None] * ends[0] + AT[None] * ends[1], rtol=1e-12)
    whole = np.arccos(np.sum(unit(A) * unit(B), axis=-1))[:, None]
    np.testing.assert_allclose(angles(found), np.broadcast_to(whole / 8, (50, 8)), rtol=1e-9)
    # In the plane of its ends: the third singular value of the path's points is rounding.
    assert np.linalg.svd(found, compute_uv=False)[:, 2].max() < 1e-12


def test_on_a_sphere_it_stays_there_while_the_line_cuts_through():
    a, b = unit(A), unit(B)
    np.testing.assert_allclose(np.linalg.norm(slerp(a, b, AT), axis=-1), 1, rtol=1e-12)
    middle = lerp(a, b, AT)[:, 4]
    np.testing.assert_allclose(np.linalg.norm(middle, axis=-1), np.sqrt((1 + np.sum(a * b, axis=-1)) / 2), rtol=1e-10)


@pytest.mark.parametrize("off", [0.0, 1e-300, 1e-13, 1e-9, 1e-5])
def test_parallel_codes_have_the_straight_line(off):
    b = 3 * A + off * B
    np.testing.assert_allclose(slerp(A, b, AT), lerp(A, b, AT), rtol=0, atol=1e-11 + 3 * off)


@pytest.mark.parametrize("off", [0.0, 1e-13, 1e-9, 1e-5])
def test_opposite_codes_go_half_round_without_a_jump(off):
    b = -A + off * B
    found = slerp(A, b, AT)
    np.testing.assert_allclose(found[:, -1], b, rtol=0, atol=1e-11)
    np.testing.assert_allclose(angles(found), np.pi / 8, rtol=1e-3)
    if off in (0.0, 1e-5):
        # Forwards is backwards, if there is no plane at all, or to the precision with which rounding leaves the plane.
        across = np.linalg.norm(B - np.sum(B * unit(A), axis=-1, keepdims=True) * unit(A), axis=-1)
        size = np.linalg.norm(A, axis=-1)
        lost = 10 * np.finfo(float).eps * size * (size / (off * across) if off else 1)
        assert np.all(np.abs(found - slerp(b, A, 1 - AT)).max(axis=(1, 2)) < lost)


def test_a_code_of_no_length_takes_the_direction_of_the_other():
    zero = np.zeros_like(A)
    np.testing.assert_allclose(slerp(zero, A, AT), AT[None, :, None] * A[:, None], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(slerp(zero, zero, AT), 0)
    for tiny in (1e-200, 5e-324):
        found = slerp(tiny * np.sign(A), A, AT)
        assert np.all(np.isfinite(found))
        np.testing.assert_allclose(found[:, -1], A, rtol=1e-12)
        assert np.all(np.linalg.norm(found, axis=-1) <= np.linalg.norm(A, axis=-1)[:, None] * (1 + 1e-12))


def test_images_are_codes_too_and_precision_is_kept():
    a, b = RNG.standard_normal((2, 3, 4, 4, 2)).astype(np.float32)
    found = slerp(a, b, AT)
    assert found.dtype == np.float32
    flat = slerp(a.reshape(3, -1), b.reshape(3, -1), AT)
    np.testing.assert_array_equal(found.reshape(flat.shape), flat)
    one = slerp(np.ones((1, 1)), -np.ones((1, 1)), AT)[0, :, 0]
    np.testing.assert_allclose(one[[0, 4, 8]], [1, 0, -1], atol=1e-12)


def test_a_traversal_changes_one_dimension_alone():
    before, values = A.copy(), np.array([-1.0, 0.0, 5.0])
    found = traverse(A, 2, values)
    np.testing.assert_array_equal(A, before)
    np.testing.assert_array_equal(found[:, :, 2], np.broadcast_to(values, (50, 3)))
    np.testing.assert_array_equal(np.delete(found, 2, axis=2), np.repeat(np.delete(A, 2, axis=1)[:, None], 3, axis=1))


@pytest.fixture(scope="module")
def labelled():
    """Codes of different scales, dependent, and a label that a hyperplane tells, but for noise."""
    codes = RNG.standard_normal((400, 4)) @ RNG.standard_normal((4, 4)) * np.array([0.1, 1, 10, 3])[None] + 2
    score = (codes - 2) @ np.array([5.0, 1.0, 0.0, -0.5])
    return codes, (score + 0.3 * score.std() * RNG.standard_normal(400) > 0).astype(np.int64)


@pytest.mark.parametrize("strength", [-3.0, 0.5, 2.0])
def test_an_edit_moves_the_log_odds_by_its_strength(labelled, strength):
    codes, labels = labelled
    found, probe = direction(codes, labels), probes.fit(codes, labels)
    log_odds = probe.decision_function
    moved = log_odds(edit(codes, found.step, strength)) - log_odds(codes)
    np.testing.assert_allclose(moved, strength * found.log_odds, rtol=1e-9)
    # From the typical code without to the typical one with.
    typical = [log_odds(codes[labels == label]).mean() for label in (0, 1)]
    np.testing.assert_allclose(typical[0] + found.log_odds, typical[1], rtol=1e-9)


def test_no_other_step_with_this_effect_is_shorter(labelled):
    codes, labels = labelled
    found, probe = direction(codes, labels), probes.fit(codes, labels)
    scale, w = probe[0].scale_, probe[-1].coef_[0]
    others = found.step[None] + 0.1 * RNG.standard_normal((100, 4)) * scale[None]
    # Brought to the same effect.
    others *= (found.log_odds / ((others / scale[None]) @ w))[:, None]
    assert np.all(np.linalg.norm(others / scale[None], axis=1) >= np.linalg.norm(found.step / scale))


def test_the_scale_of_the_latent_does_not_matter(labelled):
    codes, labels = labelled
    scale = np.array([3.0, 0.01, 1.0, 200.0])
    a, b = direction(codes, labels), direction(codes * scale[None], labels)
    np.testing.assert_allclose(b.step, a.step * scale, rtol=1e-6)
    np.testing.assert_allclose(b.log_odds, a.log_odds, rtol=1e-6)


def test_one_label_has_no_direction(labelled):
    with pytest.raises(BadInput, match="labels"):
        direction(labelled[0], np.ones(400, np.int64))
