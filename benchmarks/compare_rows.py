"""The rows of the comparison: what differs between methods, and nothing else.

All rows of a (latent size, seed) have the same encoder's body, batch, optimiser, number of steps of each stage, and evaluation; those
with a prior are trained with the same one, if they do not say otherwise. Their decoders have the prior's channels, multipliers and
blocks; DiffDecoder's its dropout too. A lifted encoder has wider heads, a small network of z, and sees what the config says; the others see x_t.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

VAE_BETAS = (0.001, 0.01, 0.1, 1.0)
BOUND_BETAS = (0.01, 0.1, 0.3, 1.0)
# Of curves, in steps of the data's config.
LENGTHS = (0.25, 0.5, 1, 2, 4)
# Of the model of the codes, which is a small one.
LATENT_STEPS, LATENT_RATE = 5000, 1e-3
# Of z, for a lifted encoder, where the config has none: as many as the digits have pixels.
STATISTICS = 64
# The encoder of the paper, which sees x_t and t.
PLAIN = {"model.encoder.statistics": 0, "model.encoder.sees": "x_t"}
# So many images that the prior of the seed has drawn are half of what is trained on.
DRAWS = {"draws.n": 20_000, "draws.share": 0.5}
# ScoreVAE without a correction.
ALONE = {"stages.correction.steps": 0}
LEARNT = {"method": "beta_vae", "model.likelihood.learn_log_var": True, "model.likelihood.log_var": -2.0}


class Row(NamedTuple):
    """folder: where it is trained; changes: of the config, `prior.weight` among them if it has a prior of its own; stages: what is trained
    for it, of which the first may be another row's. untold: columns that would say nothing of this method. has_prior: it stands on one, or
    on what one has drawn.
    swapped: it decodes with that of the next seed, which its encoder has not seen. series, at: of a sweep, the line and its x.
    """

    name: str
    title: str
    folder: str
    changes: dict[str, Any]
    stages: tuple[str, ...] = ("encoder",)
    untold: tuple[str, ...] = ()
    has_prior: bool = True
    swapped: bool = False
    series: str = ""
    at: float = 0.0

    @property
    def on_draws(self) -> bool:
        return "draws.n" in self.changes


def rows(config: ConfigDict) -> list[Row]:
    """The methods. config.loss.beta is ScoreVAE's, and one of the others'."""
    beta = config.loss.beta
    plain, lifted = {"loss.beta": beta} | PLAIN, {"loss.beta": beta} | lifting(config)
    bound = plain | ALONE | {"loss.beta": 1.0, "loss.weight": "likelihood"}
    both = ("encoder", "correction")
    of_lifted = Row("lifted", f"ScoreVAE, lifted, beta {beta:g}", "lifted", lifted | ALONE)
    return [
        # One folder: the encoder is trained once, and the correction stands on it.
        Row("score_vae", f"ScoreVAE, beta {beta:g}", "score_vae", plain | ALONE),
        Row("score_vae_plus", f"ScoreVAE+, beta {beta:g}", "score_vae", plain, both),
        # Of the two sizes of the correction the small one, on the prior's features.
        Row(
            "score_vae_plus_head",
            f"ScoreVAE+, a head on the prior, beta {beta:g}",
            "score_vae_head",
            plain | {"model.correction.body": "head"},
            both,
        ),
        of_lifted,
        Row("lifted_plus", f"ScoreVAE+, lifted, beta {beta:g}", "lifted", lifted, both),
        _and_draws(of_lifted),
        Row(
            "lifted_latent",
            f"ScoreVAE, lifted, and latent diffusion, beta {beta:g}",
            "lifted_latent",
            lifted | ALONE | {"stages.latent.steps": LATENT_STEPS, "stages.latent.learning_rate": LATENT_RATE},
        ),
        Row("swapped", "ScoreVAE, lifted, by another seed's prior", "lifted", lifted | ALONE, swapped=True),
        *(_beta_vae(b) for b in sorted({*VAE_BETAS, beta})),
        _and_draws(_beta_vae(beta)),
        Row(
            "diffuse_vae",
            f"beta-VAE, beta {beta:g}, finished by the prior",
            "diffuse_vae",
            {"method": "diffuse_vae", "loss.beta": beta},
        ),
        _diff_decoder(beta),
        _and_draws(_diff_decoder(beta)),
        # A point has no KL, and hence no bound.
        _diff_decoder(0.0, ("KL", "bits/dim")),
        Row(
            "beta_vae_learnt",
            "VAE, beta 1, learnt variance",
            "beta_vae_learnt",
            LEARNT | {"loss.beta": 1.0},
            has_prior=False,
        ),
        Row("score_vae_bound", "ScoreVAE, beta 1, likelihood weight", "score_vae_bound", bound),
    ]


def _beta_vae(beta: float) -> Row:
    name = f"beta_vae_{beta:g}"
    changes = {"method": "beta_vae", "loss.beta": beta}
    return Row(name, f"beta-VAE, beta {beta:g}", name, changes, has_prior=False)


def _diff_decoder(beta: float, untold: tuple[str, ...] = ()) -> Row:
    name = f"diff_decoder_{beta:g}"
    changes = {"method": "diff_decoder", "loss.beta": beta}
    return Row(name, f"DiffDecoder, beta {beta:g}", name, changes, untold=untold, has_prior=False)


def _and_draws(row: Row) -> Row:
    """Trained on what a prior has drawn as well, which it stands on no further."""
    method, _, beta = row.title.partition(", beta ")
    name, title = f"{row.name}_draws", f"{method}, and draws, beta {beta}"
    return row._replace(name=name, title=title, folder=name, changes=row.changes | DRAWS, has_prior=True)


def bounds(config: ConfigDict) -> list[Row]:
    """What z is worth in likelihood: trained on the bound at beta 1, and with a cheaper KL below."""
    methods = {
        "score_vae": ("ScoreVAE", PLAIN | ALONE),
        "lifted": ("ScoreVAE, lifted", lifting(config) | ALONE),
        "lifted_uniform": (
            "ScoreVAE, lifted, a prior of times uniform in logSNR",
            lifting(config) | ALONE | {"prior.times": "uniform_log_snr"},
        ),
        "diff_decoder": ("DiffDecoder", {"method": "diff_decoder"}),
        "beta_vae": ("VAE, learnt variance", LEARNT),
    }
    sweep = [
        Row(
            f"{name}_bound_{beta:g}",
            f"{title}, beta {beta:g}",
            f"{name}_bound_{beta:g}",
            changes | {"loss.beta": beta, "loss.weight": "likelihood"},
            has_prior="ScoreVAE" in title,
            series=title,
            at=beta,
        )
        for name, (title, changes) in methods.items()
        for beta in BOUND_BETAS
    ]
    (collapsed,) = (row for row in sweep if row.name == "diff_decoder_bound_1")
    return [
        *sweep,
        *(
            collapsed._replace(
                name=f"{collapsed.name}_{name}",
                title=f"{collapsed.title}, {title}",
                folder=f"{collapsed.name}_{name}",
                changes=collapsed.changes | changes,
                series=f"{collapsed.series}, {title}",
            )
            for name, (title, changes) in against_collapse(config).items()
        ),
    ]


def curves(config: ConfigDict) -> list[Row]:
    """The same trained for longer and for less: each length is a run of its own, as a learning rate may fall over all of it."""
    base, beta = config.stages.encoder.steps, config.loss.beta
    methods = ("score_vae", "lifted", f"beta_vae_{beta:g}", f"diff_decoder_{beta:g}")
    trained = [row for row in rows(config) if row.name.removesuffix("_draws") in methods]
    return [
        row._replace(
            name=f"{row.name}_{steps}",
            title=f"{row.title}, {steps} steps",
            folder=f"{row.folder}_{steps}",
            changes=row.changes | {"stages.encoder.steps": steps},
            series=row.title,
            at=steps,
        )
        for row in trained
        for steps in (round(base * length) for length in LENGTHS)
    ]


def lifting(config: ConfigDict) -> dict[str, Any]:
    return {"model.encoder.statistics": config.model.encoder.statistics or STATISTICS}


def against_collapse(config: ConfigDict) -> dict[str, tuple[str, dict[str, Any]]]:
    """name -> (title, changes): what is to keep z from being left alone."""
    half = config.stages.encoder.steps // 2
    return {
        "free_bits": ("0.5 free nats a dimension", {"loss.free_bits": 0.5}),
        "kl_warmup": ("KL warm-up over half of the steps", {"loss.kl_warmup": half}),
    }
