"""The rows of the comparison: what differs between methods, and nothing else.

All rows of one latent size and seed share the encoder's body, batch, optimiser, steps of each stage, evaluation, and the prior
where they use one. Decoders have the prior's channels, multipliers and blocks; DiffDecoder also its dropout. A lifted encoder has
wider heads, a small network of z, and the input that the config says; other encoders see x_t. PDAE's second up path has the prior's
shape; one row is the paper's PDAE, the other has the table's beta and weight, and shifts the velocity as the other networks do.
"""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

Changes = dict[str, Any]
VAE_BETAS = (0.001, 0.01, 0.1, 1.0)
# Of z, for a lifted encoder, where the config has none: as many as the digits have pixels.
NUM_STATISTICS = 64
# The paper's encoder, of x_t and t.
PLAIN = {"model.encoder.num_statistics": 0, "model.encoder.input": "x_t"}
# Half of the training images are drawn from the prior of the seed, 20,000 in all.
SYNTHETIC = {"synthetic.n": 20_000, "synthetic.share": 0.5}
# ScoreVAE; without this, ScoreVAE+.
UNCORRECTED = {"stages.correction.steps": 0}
LATENT_DIFFUSION = {"stages.latent.steps": 5000, "stages.latent.learning_rate": 1e-3}
PDAE = {"method": "pdae"}
LEARNT_VARIANCE = {"method": "beta_vae", "model.likelihood.learn_log_var": True, "model.likelihood.log_var": -2.0}


class Row(NamedTuple):
    """A method: its name, title, and the fields of the config that differ.

    folder: where it trains, if not under its name; rows of one folder share what they train. swapped: it decodes with the next
    seed's prior. series, at: in a sweep, its line and the abscissa.
    """

    name: str
    title: str
    changes: Changes
    folder: str = ""
    swapped: bool = False
    series: str = ""
    at: float = 0.0

    @property
    def synthetic(self) -> bool:
        return "synthetic.n" in self.changes

    @property
    def has_prior(self) -> bool:
        """Whether it uses the seed's prior, or images drawn from it."""
        return self.synthetic or self.changes.get("method", "score_vae") in ("score_vae", "diffuse_vae", "pdae")

    @property
    def own_prior(self) -> Changes:
        """The fields of a prior that is trained for this row alone."""
        return {name: value for name, value in self.changes.items() if name.startswith("stages.prior.")}

    @property
    def stages(self) -> tuple[str, ...]:
        corrected = "method" not in self.changes and "stages.correction.steps" not in self.changes
        return ("encoder", "correction") if corrected else ("encoder",)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Prefixes of metrics that mean nothing: a latent that is a point has no KL and no bound."""
        point = self.changes.get("method") in ("diff_decoder", "pdae") and not self.changes["loss.beta"]
        return ("latent/kl", "bits_per_dim/") if point else ()


def methods(config: ConfigDict) -> list[Row]:
    """The methods at beta = config.loss.beta, and some at other values."""
    beta = config.loss.beta
    of, at = f", beta {beta:g}", {"loss.beta": beta}
    plain, lifted = at | PLAIN, at | lifting(config)
    lifted_row = Row("lifted", f"ScoreVAE, lifted{of}", lifted | UNCORRECTED)
    head = plain | {"model.correction.body": "head"}
    bound = PLAIN | UNCORRECTED | {"loss.beta": 1.0, "stages.encoder.weight": "likelihood"}
    return [
        # ScoreVAE and ScoreVAE+ share a folder: the correction is trained on the same encoder.
        Row("score_vae", f"ScoreVAE{of}", plain | UNCORRECTED),
        Row("score_vae_plus", f"ScoreVAE+{of}", plain, folder="score_vae"),
        Row("score_vae_plus_head", f"ScoreVAE+, head on the prior{of}", head, folder="score_vae_head"),
        lifted_row,
        Row("lifted_plus", f"ScoreVAE+, lifted{of}", lifted, folder="lifted"),
        with_synthetic(lifted_row),
        Row("lifted_latent", f"ScoreVAE, lifted, latent diffusion{of}", lifted | UNCORRECTED | LATENT_DIFFUSION),
        Row("swapped", "ScoreVAE, lifted, another seed's prior", lifted_row.changes, "lifted", swapped=True),
        *map(beta_vae, sorted({*VAE_BETAS, beta})),
        with_synthetic(beta_vae(beta)),
        Row("diffuse_vae", f"beta-VAE{of}, finished by the prior", {"method": "diffuse_vae"} | at),
        diff_decoder(beta),
        with_synthetic(diff_decoder(beta)),
        diff_decoder(0.0),
        Row("pdae", "PDAE, its own weight, beta 0", PDAE | {"loss.beta": 0.0, "stages.encoder.weight": "pdae"}),
        Row(f"pdae_{beta:g}", f"PDAE, velocity{of}", PDAE | {"model.shift.output": "velocity"} | at),
        Row("beta_vae_learnt", "VAE, beta 1, learnt variance", LEARNT_VARIANCE | {"loss.beta": 1.0}),
        Row("score_vae_bound", "ScoreVAE, beta 1, likelihood weight", bound),
    ]


def beta_vae(beta: float) -> Row:
    return Row(f"beta_vae_{beta:g}", f"beta-VAE, beta {beta:g}", {"method": "beta_vae", "loss.beta": beta})


def diff_decoder(beta: float) -> Row:
    return Row(f"diff_decoder_{beta:g}", f"DiffDecoder, beta {beta:g}", {"method": "diff_decoder", "loss.beta": beta})


def with_synthetic(row: Row) -> Row:
    """The same method, trained on images drawn from the prior as well."""
    method, _, beta = row.title.partition(", beta ")
    return Row(f"{row.name}_synthetic", f"{method}, synthetic images, beta {beta}", row.changes | SYNTHETIC)


def lifting(config: ConfigDict) -> Changes:
    """The change that makes an encoder lifted."""
    return {"model.encoder.num_statistics": config.model.encoder.num_statistics or NUM_STATISTICS}


def against_collapse(config: ConfigDict) -> dict[str, tuple[str, Changes]]:
    """name -> (title, changes) of two remedies against posterior collapse."""
    half = config.stages.encoder.steps // 2
    return {
        "free_bits": ("0.5 free nats a dimension", {"loss.free_bits": 0.5}),
        "kl_warmup": ("KL warm-up over half of the steps", {"loss.kl_warmup": half}),
    }


def rival(row: Row, rows: list[Row]) -> str:
    """The name of the beta-VAE of equal beta, with synthetic images if `row` has them; "" if there is none."""
    vae = {"method": "beta_vae", "loss.beta": row.changes["loss.beta"]} | (SYNTHETIC if row.synthetic else {})
    return next((other.name for other in rows if other.changes == vae and other is not row), "")


def uncorrected(row: Row, rows: list[Row]) -> str:
    """The name of the ScoreVAE on the encoder of a ScoreVAE+."""
    without = {name: v for name, v in row.changes.items() if not name.startswith("model.correction.")} | UNCORRECTED
    found = (other.name for other in rows if other.changes == without and not other.swapped)
    return next(found, "") if "correction" in row.stages else ""
