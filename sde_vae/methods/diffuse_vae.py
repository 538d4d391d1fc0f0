"""A beta-VAE whose images a diffusion prior finishes, without being trained for it.

    E[x_0 | x_t, z] = mean of p(x_0 | z)    where logSNR is below `log_snr`
                      E[x_0 | x_t]          elsewhere

Decoding is then to noise the VAE's image to the first level of the solver's grid above it, as SDEdit does (arXiv:2108.01073), and to let the
prior take the noise off. It is the simplest form of DiffuseVAE (arXiv:2201.00308), whose diffusion model sees the VAE's image at all
levels and is trained for that.
"""

from sde_vae.diffusion.scores import point_mass_score, switch_at_log_snr
from sde_vae.diffusion.sdes import SDE
from sde_vae.methods.method import Method
from sde_vae.types import Frozen, Latents, Params, ScoreFn


def diffuse_vae(sde: SDE, vae: Method, prior: Method, log_snr: float) -> Method:
    """`params` are the beta-VAE's, trained as it is; `frozen` has those of the stage "prior" (its EMA), which only decodes."""

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del params
        return prior.unconditional(frozen["prior"], {})

    def score(params: Params, frozen: Frozen, z: Latents) -> ScoreFn:
        of_vae = point_mass_score(sde, vae.likelihood(params, frozen, z).mean)
        return switch_at_log_snr(sde, log_snr, of_vae, unconditional(params, frozen))

    return vae._replace(score=score, likelihood=None, unconditional=unconditional)
