"""The rows of the two sweeps: over beta, for the evidence bound, and over the length of training."""

from ml_collections import ConfigDict

from benchmarks.comparison.rows import LEARNT_VARIANCE, PLAIN, UNCORRECTED, Row, against_collapse, lifting, methods

BETAS = (0.01, 0.1, 0.3, 1.0)
# In the steps of the data's config.
LENGTHS = (0.25, 0.5, 1, 2, 4)


def bounds(config: ConfigDict) -> list[Row]:
    """What z is worth in likelihood: trained with the likelihood weight, at beta 1 (the bound itself) and below."""
    lifted, uniform = lifting(config) | UNCORRECTED, {"stages.prior.times": "uniform_log_snr"}
    swept = {
        "score_vae": ("ScoreVAE", PLAIN | UNCORRECTED),
        "lifted": ("ScoreVAE, lifted", lifted),
        "lifted_uniform": ("ScoreVAE, lifted, prior of uniform logSNR", lifted | uniform),
        "diff_decoder": ("DiffDecoder", {"method": "diff_decoder"}),
        "beta_vae": ("VAE, learnt variance", LEARNT_VARIANCE),
    }
    weight = {"stages.encoder.weight": "likelihood"}
    sweep = {
        f"{name}_bound_{beta:g}": (f"{title}, beta {beta:g}", changes | weight | {"loss.beta": beta}, title, beta)
        for name, (title, changes) in swept.items()
        for beta in BETAS
    }
    title, changes, series, beta = sweep["diff_decoder_bound_1"]
    for name, (remedy, more) in against_collapse(config).items():
        sweep[f"diff_decoder_bound_1_{name}"] = (f"{title}, {remedy}", changes | more, f"{series}, {remedy}", beta)
    return [Row(name, title, changes, series=series, at=at) for name, (title, changes, series, at) in sweep.items()]


def curves(config: ConfigDict) -> list[Row]:
    """Four methods, each trained anew for every number of steps, since a learning rate may fall over the whole training."""
    base, beta = config.stages.encoder.steps, config.loss.beta
    names = ("score_vae", "lifted", f"beta_vae_{beta:g}", f"diff_decoder_{beta:g}")
    steps = [round(base * length) for length in LENGTHS]
    return [
        Row(
            f"{row.name}_{n}",
            f"{row.title}, {n} steps",
            row.changes | {"stages.encoder.steps": n},
            "",
            False,
            row.title,
            n,
        )
        for row in methods(config)
        if row.name.removesuffix("_synthetic") in names
        for n in steps
    ]
