"""Models without parameters, of functions in closed form."""

from sde_vae.inference.model import Model, ModelParams

NOTHING = ModelParams({}, {})


def exact_model(decoder, inverter=None, encode=None, score=None, likelihood=None, prior=None):
    """A Model of encode(x), score(z), likelihood(z) and the score `prior`; what is not given is None."""
    without_params = lambda f: (lambda params, x: f(x)) if f else None
    return Model(
        title="exact",
        params=NOTHING,
        encode=without_params(encode),
        score=without_params(score),
        likelihood=without_params(likelihood),
        prior=(lambda params: prior) if prior else None,
        decoder=decoder,
        inverter=inverter or decoder,
    )
