"""The sliced Wasserstein distance of new examples to held-out ones, for arrays that are no images."""

from collections.abc import Iterator

import numpy as np

from sde_vae.data.dataset import evenly_spaced
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.moments import flat, new_examples
from sde_vae.keys import generator
from sde_vae.metrics.sets.sliced_wasserstein import random_directions
from sde_vae.metrics.sets.sliced_wasserstein import sliced_wasserstein as distance


def sliced_wasserstein(context: EvalContext, directions: int = 512, most: int = 20_000) -> Iterator[tuple[str, float]]:
    """Yield sliced_wasserstein/w2 between new examples and the held-out split, and as w2_reference that of training examples to it.

    The reference has as many training examples as there are new ones, or all. Distances are of standardised examples, on which every
    dimension has variance 1 in the training split. The standard errors are over the random directions. At most `most` of a split are used.
    """
    new = new_examples(context)
    held_out = flat(evenly_spaced(context.data.held_out, most))
    train = flat(evenly_spaced(context.data.train, min(len(new), most)))
    lines = random_directions(generator(context.seed, "directions"), directions, held_out.shape[1])
    for name, examples in (("w2", new), ("w2_reference", train)):
        found = distance(examples, held_out, lines)
        yield f"sliced_wasserstein/{name}", found.value
        yield f"sliced_wasserstein/{name}_stderr", found.standard_error
    sizes = {"n": new, "reference_n": train, "held_out_n": held_out, "directions": lines}
    for name, of in sizes.items():
        yield f"sliced_wasserstein/{name}", float(np.shape(of)[0])
