"""What a stage shows of itself while it trains: samples, or reconstructions."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from sde_vae.build.nets import Shape
from sde_vae.build.sampling import build_decoder, build_inverter
from sde_vae.data.dataset import Dataset, evenly_spaced, to_model, to_unit
from sde_vae.diffusion.sdes import SDE
from sde_vae.inference.decoding import start
from sde_vae.inference.model import decode_latents, make_model
from sde_vae.inference.sampling import from_prior, zeros
from sde_vae.methods.method import Method, required
from sde_vae.types import Frozen, Params, Points, PRNGKey

# Images in a preview.
SHOWN = 16
# Preview(params, frozen) -> name -> images [n, H, W, C] on [0, 1]
Preview = Callable[[Params, Frozen], dict[str, np.ndarray]]


def build_preview(config: ConfigDict, sde: SDE, shape: Shape, method: Method, load: Callable[[], Dataset]) -> Preview:
    """Return a function that reconstructs images of the split `valid` (else `train`), or samples from a method without a latent."""
    decoder, inverter = build_decoder(config, sde), build_inverter(config, sde)
    index = jnp.arange(SHOWN, dtype=jnp.int32)

    @jax.jit
    def samples(params: Params, frozen: Frozen, key: PRNGKey) -> Points:
        return from_prior(decoder, required(method.unconditional, "unconditional")(params, frozen), shape)(key, index)

    @jax.jit
    def reconstructions(params: Params, frozen: Frozen, key: PRNGKey, x: Points) -> Points:
        model = make_model("", method, params, frozen, decoder, inverter)
        noise = start(sde, key, zeros(len(x), shape), index[: len(x)])
        return decode_latents(model, model.encode(x).mean, *noise)

    def preview(params: Params, frozen: Frozen) -> dict[str, np.ndarray]:
        key = jax.random.key(config.seed)
        if method.encode is None:
            return {"samples": to_unit(samples(params, frozen, key))}
        data = load()
        split = data.splits.get("valid", data.splits["train"])
        x = to_model(evenly_spaced(split.images, SHOWN), data.levels)
        return {"originals": to_unit(x), "reconstructions": to_unit(reconstructions(params, frozen, key, x))}

    return preview
