"""What a stage shows of itself while it trains: samples, or reconstructions."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from ml_collections import ConfigDict

from sde_vae.arrays import keys_of
from sde_vae.build.nets import Shape
from sde_vae.build.sampling import build_decoder, build_inverter
from sde_vae.data.dataset import Dataset, evenly_spaced, to_model, to_unit
from sde_vae.devices import over_devices, replicate
from sde_vae.diffusion.sdes import SDE
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import start
from sde_vae.inference.model import ModelParams, decode_latents, make_model
from sde_vae.inference.sampling import from_prior, zeros
from sde_vae.keys import stream
from sde_vae.methods.method import Method, required
from sde_vae.methods.observation import Measurement
from sde_vae.types import Examples, Frozen, Indices, Params, Points, PRNGKey

# Images in a preview.
SHOWN = 16
# Preview(params, frozen) -> name -> images [n, H, W, C] on [0, 1]
Preview = Callable[[Params, Frozen], dict[str, np.ndarray]]


def build_preview(
    config: ConfigDict,
    sde: SDE,
    shape: Shape,
    method: Method,
    load: Callable[[], Dataset],
    measurement: Measurement | None = None,
) -> Preview:
    """Return a function that shows images of the split `valid` (else `train`) reconstructed, or restored from what is observed of them.

    Of a method without a latent or an observation it shows samples.
    """
    decoder, inverter = build_decoder(config, sde), build_inverter(config, sde)

    def samples(params: ModelParams, key: PRNGKey, index: Indices) -> Points:
        unconditional = required(method.unconditional, "unconditional")
        return from_prior(decoder, lambda params: unconditional(params.own, params.frozen), shape)(params, key, index)

    def reconstructions(params: ModelParams, key: PRNGKey, x: Points, index: Indices) -> Points:
        model = make_model("", method, params, decoder, inverter)
        return decode_latents(
            model,
            params,
            required(model.encode, "encode")(params, x).mean,
            *start(sde, key, zeros(len(x), shape), index),
        )

    def restorations(params: ModelParams, key: PRNGKey, examples: Examples, index: Indices) -> Points:
        model = make_model("", method, params, decoder, inverter)
        # A key of its own for what is random in the observation.
        key_y, key = jax.random.split(key)
        x, condition = required(measurement, "measurement").observe(examples, keys_of(key_y, index))
        return decode_latents(model, params, condition, *start(sde, key, x, index))

    sample = over_devices(samples, shared=2)
    of_images = over_devices(reconstructions if method.encode else restorations, shared=2)

    def preview(own: Params, frozen: Frozen) -> dict[str, np.ndarray]:
        # Under fsdp this gathers the parameters: each device makes some of the images.
        shared = replicate((ModelParams(own, frozen), stream(config.seed, "preview")))
        if method.encode is None and method.score is None:
            return {"samples": to_unit(batched_map(partial(sample, *shared), SHOWN, np.arange(SHOWN, dtype=np.int32)))}
        data = load()
        split = data.splits.get("valid", data.splits["train"])
        x = to_model(evenly_spaced(split.images, SHOWN), data.levels)
        index = np.arange(len(x), dtype=np.int32)
        found = batched_map(partial(of_images, *shared), SHOWN, x, index)
        # Of pairs x alone.
        originals = to_unit(x[..., : shape[-1]])
        return {"originals": originals, "reconstructions" if method.encode else "restorations": to_unit(found)}

    return preview
