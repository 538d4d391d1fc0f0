"""The mutation harness: what it makes of a source is other code, and the mutants that it has by name are still to be had."""

import ast
from collections import Counter

from benchmarks.faults import mutants as harness
from benchmarks.faults.operators import mutants

SOURCE = '''"""A docstring of 2 + 2."""
from collections.abc import Callable

Weight = Callable[[float], float]


def f(a: float, b: float = 0.5) -> float:
    """Not 1 + 1 either."""
    if a < b:
        return -a
    return jnp.exp(a) * g("é", a, scale=b)
'''


def test_each_operator_changes_what_runs_and_nothing_else():
    found = [(m.operator, m.before, m.after) for m in mutants(SOURCE)]
    assert found == [
        ("constant", "0.5", "0.625"),
        ("border", "a < b", "a <= b"),
        ("comparison turned", "a < b", "a > b"),
        ("sign dropped", "-a", "a"),
        ("arithmetic", 'jnp.exp(a) * g("é", a, scale=b)', "jnp.exp(a) / g('é', a, scale=b)"),
        ("term dropped", 'jnp.exp(a) * g("é", a, scale=b)', "jnp.exp(a)"),
        ("term dropped", 'jnp.exp(a) * g("é", a, scale=b)', "g('é', a, scale=b)"),
        ("call dropped", "jnp.exp(a)", "a"),
        ("arguments swapped", 'g("é", a, scale=b)', "g(a, 'é', scale=b)"),
        ("keyword dropped", 'g("é", a, scale=b)', "g('é', a)"),
    ]
    for mutant in mutants(SOURCE):
        applied = mutant.applied(SOURCE)
        assert ast.dump(ast.parse(applied)) != ast.dump(ast.parse(SOURCE))
        assert applied.count("\n") == SOURCE.count("\n")


def test_a_sample_is_a_part_of_a_larger_one_and_each_has_its_tests():
    few, more = ([of for of in harness.sample(n) if of[0] != "named"] for n in (1, 2))
    assert {of[1:] for of in few} < {of[1:] for of in more}
    for room, path, mutant in few:
        ast.parse(mutant.applied((harness.ROOT / path).read_text()))
        tests = harness.looking_at(harness.ROOT, path)
        assert tests, (room, path)
        assert all((harness.ROOT / test).exists() for test in tests)


def test_few_are_spread_over_all_rooms():
    chosen = harness.sample(1)
    few, more = ([of for of in harness.spread(chosen, n) if of[0] != "named"] for n in (24, 33))
    assert {of[1:] for of in few} < {of[1:] for of in more} < {of[1:] for of in chosen}
    counts = Counter(room for room, *_ in few)
    assert counts.keys() == harness.ROOMS.keys()
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len([of for of in harness.spread(chosen, 24) if of[0] == "named"]) == len(harness.NAMED)


def test_what_takes_as_long_without_the_mutant_has_no_verdict(tmp_path, monkeypatch):
    _, path, mutant = next(of for of in harness.sample(1) if of[0] == "bounds")
    (tmp_path / path).parent.mkdir(parents=True)
    verdicts = iter(["killed by time", "killed by time", "killed by time", "survived", "killed"])
    monkeypatch.setattr(harness, "verdict", lambda copy, tests: next(verdicts))
    assert [harness.tried(tmp_path, path, mutant) for _ in range(3)] == ["untried", "killed by time", "killed"]
    assert (tmp_path / path).read_bytes() == (harness.ROOT / path).read_bytes()


def test_the_named_ones_are_still_in_the_code_and_so_are_their_tests():
    found = harness.named()
    assert len(found) == len(harness.NAMED) >= 10
    for (_, path, mutant), (*_, test) in zip(found, harness.NAMED, strict=True):
        ast.parse(mutant.applied((harness.ROOT / path).read_text()))
        assert (harness.ROOT / "tests" / test).exists()
