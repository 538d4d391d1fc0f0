"""The rows of the comparison: what differs between methods, and nothing else.

All rows of one latent size and seed share the encoder's body, batch, optimiser, steps of each stage, evaluation, and the prior
where they use one. Decoders have the prior's channels, multipliers and blocks; DiffDecoder also its dropout. A lifted encoder has
wider heads, a small network of z, and the input that the config says; other encoders see x_t.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

VAE_BETAS = (0.001, 0.01, 0.1, 1.0)
# Steps and learning rate of the diffusion model of the latents.
LATENT_STEPS, LATENT_RATE = 5000, 1e-3
# Of z, for a lifted encoder, where the config has none: as many as the digits have pixels.
NUM_STATISTICS = 64
# The paper's encoder, of x_t and t.
PLAIN = {"model.encoder.num_statistics": 0, "model.encoder.input": "x_t"}
# Half of the training images are drawn from the prior of the seed, 20,000 in all.
SYNTHETIC = {"synthetic.n": 20_000, "synthetic.share": 0.5}
# ScoreVAE without a correction.
UNCORRECTED = {"stages.correction.steps": 0}
LEARNT_VARIANCE = {"method": "beta_vae", "model.likelihood.learn_log_var": True, "model.likelihood.log_var": -2.0}
# Metrics that mean nothing of a latent that is a point, which has no KL and no bound.
OF_DENSITY = ("latent/kl", "bits_per_dim/")


class Row(NamedTuple):
    """One method of a table.

    changes: fields of the config that differ. folder: where it trains; rows of one folder share what they train.
    stages: what is trained for it. hidden: prefixes of metrics that are not kept. has_prior: it uses the seed's prior, or images
    drawn from it. swapped: it decodes with the next seed's prior. rival, uncorrected: names of the rows that it is compared with
    seed by seed. series, at: in a sweep, its line and the abscissa.
    """

    name: str
    title: str
    folder: str
    changes: dict[str, Any]
    stages: tuple[str, ...] = ("encoder",)
    hidden: tuple[str, ...] = ()
    has_prior: bool = True
    swapped: bool = False
    rival: str = ""
    uncorrected: str = ""
    series: str = ""
    at: float = 0.0

    @property
    def synthetic(self) -> bool:
        return "synthetic.n" in self.changes

    @property
    def own_prior(self) -> dict[str, Any]:
        """Fields of a prior that is trained for this row alone."""
        return {name: value for name, value in self.changes.items() if name.startswith("stages.prior.")}


def methods(config: ConfigDict) -> list[Row]:
    """The methods at beta = config.loss.beta, and some at other values. Each is compared with the beta-VAE of equal beta."""
    beta = config.loss.beta
    betas = sorted({*VAE_BETAS, beta})
    rivals = {b: beta_vae(b).name for b in betas}
    synthetic_vae = with_synthetic(beta_vae(beta))

    def compared(row: Row) -> Row:
        rival = rivals.get(row.changes["loss.beta"], "")
        return row._replace(rival=synthetic_vae.name if row.synthetic else rival)

    vaes = [*map(beta_vae, betas), synthetic_vae]
    return [*map(compared, _score_vaes(config)), *vaes, *map(compared, _others(config))]


def _score_vaes(config: ConfigDict) -> list[Row]:
    beta = config.loss.beta
    plain, lifted = {"loss.beta": beta} | PLAIN, {"loss.beta": beta} | lifting(config)
    corrected, head = ("encoder", "correction"), {"model.correction.body": "head"}
    latent = {"stages.latent.steps": LATENT_STEPS, "stages.latent.learning_rate": LATENT_RATE}
    lifted_row = Row("lifted", f"ScoreVAE, lifted, beta {beta:g}", "lifted", lifted | UNCORRECTED)
    return [
        # ScoreVAE and ScoreVAE+ share a folder: the correction is trained on the same encoder.
        Row("score_vae", f"ScoreVAE, beta {beta:g}", "score_vae", plain | UNCORRECTED),
        Row("score_vae_plus", f"ScoreVAE+, beta {beta:g}", "score_vae", plain, corrected, uncorrected="score_vae"),
        Row(
            "score_vae_plus_head",
            f"ScoreVAE+, head on the prior, beta {beta:g}",
            "score_vae_head",
            plain | head,
            corrected,
            uncorrected="score_vae",
        ),
        lifted_row,
        Row("lifted_plus", f"ScoreVAE+, lifted, beta {beta:g}", "lifted", lifted, corrected, uncorrected="lifted"),
        with_synthetic(lifted_row),
        Row(
            "lifted_latent",
            f"ScoreVAE, lifted, latent diffusion, beta {beta:g}",
            "lifted_latent",
            lifted | UNCORRECTED | latent,
        ),
        Row("swapped", "ScoreVAE, lifted, another seed's prior", "lifted", lifted | UNCORRECTED, swapped=True),
    ]


def _others(config: ConfigDict) -> list[Row]:
    """A beta-VAE with a diffusion decoder on top, DiffDecoder, and two models trained on their bound."""
    beta = config.loss.beta
    bound = {"loss.beta": 1.0, "stages.encoder.weight": "likelihood"} | PLAIN | UNCORRECTED
    diffuse_vae = {"method": "diffuse_vae", "loss.beta": beta}
    return [
        Row("diffuse_vae", f"beta-VAE, beta {beta:g}, finished by the prior", "diffuse_vae", diffuse_vae),
        diff_decoder(beta),
        with_synthetic(diff_decoder(beta)),
        diff_decoder(0.0)._replace(hidden=OF_DENSITY),
        Row(
            "beta_vae_learnt",
            "VAE, beta 1, learnt variance",
            "beta_vae_learnt",
            LEARNT_VARIANCE | {"loss.beta": 1.0},
            has_prior=False,
        ),
        Row("score_vae_bound", "ScoreVAE, beta 1, likelihood weight", "score_vae_bound", bound),
    ]


def beta_vae(beta: float) -> Row:
    name, changes = f"beta_vae_{beta:g}", {"method": "beta_vae", "loss.beta": beta}
    return Row(name, f"beta-VAE, beta {beta:g}", name, changes, has_prior=False)


def diff_decoder(beta: float) -> Row:
    name, changes = f"diff_decoder_{beta:g}", {"method": "diff_decoder", "loss.beta": beta}
    return Row(name, f"DiffDecoder, beta {beta:g}", name, changes, has_prior=False)


def with_synthetic(row: Row) -> Row:
    """The same method, trained on images drawn from the prior as well."""
    method, _, beta = row.title.partition(", beta ")
    name, title = f"{row.name}_synthetic", f"{method}, synthetic images, beta {beta}"
    return row._replace(name=name, title=title, folder=name, changes=row.changes | SYNTHETIC, has_prior=True)


def lifting(config: ConfigDict) -> dict[str, Any]:
    """The change that makes an encoder lifted."""
    return {"model.encoder.num_statistics": config.model.encoder.num_statistics or NUM_STATISTICS}


def against_collapse(config: ConfigDict) -> dict[str, tuple[str, dict[str, Any]]]:
    """name -> (title, changes) of two remedies against posterior collapse."""
    half = config.stages.encoder.steps // 2
    return {
        "free_bits": ("0.5 free nats a dimension", {"loss.free_bits": 0.5}),
        "kl_warmup": ("KL warm-up over half of the steps", {"loss.kl_warmup": half}),
    }
