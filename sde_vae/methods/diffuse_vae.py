"""A beta-VAE whose images a diffusion prior refines. The prior is not trained for that.

    E[x_0 | x_t, z] = mean of p(x_0 | z)    where logSNR is below `log_snr`
                      E[x_0 | x_t]          elsewhere

Decoding with this score adds noise to the VAE's image, up to the first level of the solver's grid above `log_snr`, and the prior
then removes the noise, as in SDEdit (arXiv:2108.01073). This is the simplest form of DiffuseVAE (arXiv:2201.00308). There, the
diffusion model is trained conditionally on the VAE's image, which it takes at all noise levels.
"""

from sde_vae.diffusion.scores import point_mass_score, switch_at_log_snr
from sde_vae.diffusion.sdes import SDE
from sde_vae.methods.method import Method, required
from sde_vae.types import Frozen, Latents, Params, ScoreFn


def diffuse_vae(sde: SDE, vae: Method, prior: Method, log_snr: float) -> Method:
    """Return the method DiffuseVAE: the beta-VAE `vae` with the score above.

    `params` are those of the beta-VAE, which is trained without the prior. `frozen` has the EMA parameters of the stage
    "prior", which is used in decoding only.
    """
    likelihood = required(vae.likelihood, "likelihood")
    prior_score = required(prior.unconditional, "unconditional")

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del params
        return prior_score(frozen["prior"], {})

    def score(params: Params, frozen: Frozen, z: Latents) -> ScoreFn:
        vae_score = point_mass_score(sde, likelihood(params, frozen, z).mean)
        return switch_at_log_snr(sde, log_snr, vae_score, unconditional(params, frozen))

    return vae._replace(score=score, likelihood=None, unconditional=unconditional)
