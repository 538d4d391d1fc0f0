"""The rows of the two sweeps: over beta, for the evidence bound, and over the length of training."""

from ml_collections import ConfigDict

from benchmarks.comparison.rows import LEARNT_VARIANCE, PLAIN, UNCORRECTED, Row, against_collapse, lifting, methods

BETAS = (0.01, 0.1, 0.3, 1.0)
# In the steps of the data's config.
LENGTHS = (0.25, 0.5, 1, 2, 4)


def bounds(config: ConfigDict) -> list[Row]:
    """What z is worth in likelihood: trained with the likelihood weight, at beta 1 (the bound itself) and below."""
    uniform = {"stages.prior.times": "uniform_log_snr"}
    swept = {
        "score_vae": ("ScoreVAE", PLAIN | UNCORRECTED),
        "lifted": ("ScoreVAE, lifted", lifting(config) | UNCORRECTED),
        "lifted_uniform": ("ScoreVAE, lifted, prior of uniform logSNR", lifting(config) | UNCORRECTED | uniform),
        "diff_decoder": ("DiffDecoder", {"method": "diff_decoder"}),
        "beta_vae": ("VAE, learnt variance", LEARNT_VARIANCE),
    }
    sweep = [
        Row(
            f"{name}_bound_{beta:g}",
            f"{title}, beta {beta:g}",
            f"{name}_bound_{beta:g}",
            changes | {"loss.beta": beta, "stages.encoder.weight": "likelihood"},
            has_prior="ScoreVAE" in title,
            series=title,
            at=beta,
        )
        for name, (title, changes) in swept.items()
        for beta in BETAS
    ]
    (collapsed,) = (row for row in sweep if row.name == "diff_decoder_bound_1")
    remedies = [
        collapsed._replace(
            name=f"{collapsed.name}_{name}",
            title=f"{collapsed.title}, {title}",
            folder=f"{collapsed.name}_{name}",
            changes=collapsed.changes | changes,
            series=f"{collapsed.series}, {title}",
        )
        for name, (title, changes) in against_collapse(config).items()
    ]
    return [*sweep, *remedies]


def curves(config: ConfigDict) -> list[Row]:
    """Four methods, each trained anew for every number of steps, since a learning rate may fall over the whole training."""
    base, beta = config.stages.encoder.steps, config.loss.beta
    names = ("score_vae", "lifted", f"beta_vae_{beta:g}", f"diff_decoder_{beta:g}")
    return [
        row._replace(
            name=f"{row.name}_{steps}",
            title=f"{row.title}, {steps} steps",
            folder=f"{row.folder}_{steps}",
            changes=row.changes | {"stages.encoder.steps": steps},
            series=row.title,
            at=steps,
        )
        for row in methods(config)
        if row.name.removesuffix("_synthetic") in names
        for steps in (round(base * length) for length in LENGTHS)
    ]
