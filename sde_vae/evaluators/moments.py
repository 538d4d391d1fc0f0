"""The first two moments of new examples against those of held-out ones, for arrays that are no images."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from sde_vae.data.dataset import evenly_spaced
from sde_vae.evaluators.context import EvalContext

# A covariance of more dimensions takes too much memory.
MOST_DIMENSIONS = 4096


def moments(context: EvalContext, most: int = 20_000) -> Iterator[tuple[str, float]]:
    """Yield moments/{mean,std,covariance}_error of new examples against the held-out split, and as *_reference those of training examples.

    The reference has as many training examples as there are new ones, or all: what sampling alone makes of these errors. At most `most` of a
    split are used. All are of standardised examples: see `moment_errors`.
    """
    new = new_examples(context)
    held_out = flat(evenly_spaced(context.data.held_out, most))
    train = flat(evenly_spaced(context.data.train, min(len(new), most)))
    for end, examples in (("", new), ("_reference", train)):
        for name, value in moment_errors(examples, held_out).items():
            yield f"moments/{name}_error{end}", value
    if held_out.shape[1] > MOST_DIMENSIONS:
        print(f"note: moments: no covariance: {held_out.shape[1]} dimensions, at most {MOST_DIMENSIONS} have one")
    for name, of in {"n": new, "reference_n": train, "held_out_n": held_out}.items():
        yield f"moments/{name}", float(len(of))


def moment_errors(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> dict[str, float]:
    """Return the errors of the moments of x as those of y.

    mean, std     the root mean square, over the dimensions, of the difference of means and of standard deviations
    covariance    the Frobenius norm of the difference of covariances over that of y's; left out for many dimensions

    >>> moment_errors(np.array([[1.0], [3.0]]), np.array([[-1.0], [1.0]]))
    {'mean': 2.0, 'std': 0.0, 'covariance': 0.0}
    """
    root_mean_square = lambda a: float(np.sqrt(np.mean(np.square(a))))
    errors = {
        "mean": root_mean_square(x.mean(axis=0) - y.mean(axis=0)),
        "std": root_mean_square(x.std(axis=0) - y.std(axis=0)),
    }
    if x.shape[1] <= MOST_DIMENSIONS:
        of_x, of_y = _covariance(x), _covariance(y)
        errors["covariance"] = float(np.linalg.norm(of_x - of_y) / np.linalg.norm(of_y))
    return errors


def new_examples(context: EvalContext) -> Float[np.ndarray, "n dim"]:
    """Return the new examples of the evaluation, standardised and flat; drawn once, whichever evaluators ask for them."""
    return flat(context.sample(np.arange(context.samples, dtype=np.int32), "sample"))


def flat(x: np.ndarray) -> Float[np.ndarray, "n dim"]:
    """Return examples [n, *shape] as float64 vectors."""
    return np.asarray(x, np.float64).reshape(len(x), -1)


def _covariance(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=0, keepdims=True)
    return centred.T @ centred / len(x)
