"""The comparison's second table: what the latents are, and what can be done with them besides decoding."""

COLUMNS = {
    "KL": "latent/kl",
    "active": "latent/active_units",
    "total correlation": "latent/total_correlation",
    "probe": "latent/probe_accuracy",
    "probe, AP": "latent/probe_average_precision",
    "DCI": "latent/dci_disentanglement",
    "DCI, informativeness": "latent/dci_informativeness",
    "DCI, completeness": "latent/dci_completeness",
    "MIG": "latent/mig",
    "TAD": "latent/tad",
    "as decoded": "latent/edit/flipped/0",
    "edited": "latent/edit/flipped/1",
    "kept": "latent/edit/kept/1",
    "true change": "latent/edit/change/1",
    "other change": "latent/edit/side/1",
    "FD, N(0, I)": "latent_prior/normal/{fd}",
    "FD, a Gaussian": "latent_prior/gaussian/{fd}",
    "FD, diffusion": "latent_prior/diffusion/{fd}",
}
NOTES = {
    "KL": "`KL`: of q(z|x) to N(0, I), nats.",
    "active": "`active`: dimensions whose mean varies by more than 0.01 over the images.",
    "total correlation": "`total correlation`: of the aggregate posterior, taken for a Gaussian, nats.",
    "probe": "`probe`: of a linear probe of posterior means, taught by the training images.",
    "probe, AP": "`AP`: the average precision of probes of attributes of two values.",
    "DCI": "`DCI`: disentanglement, by random forests (openreview By-7dz-AZ); `informativeness`: their accuracy, without which it says little.",
    "MIG": "`MIG`, `TAD`: of the data's exact factors (arXiv:1802.04942, 2209.10677).",
    "edited": "`edited`: of images that lack a class, the share that a judge of pixels gives it after a step of strength 1 along a linear "
    "probe's direction; `as decoded`: before it.",
    "kept": "`kept`: of the other attributes, the share that the judge answers as before.",
    "true change": "`true change`: the part of the change to the true counterfactual that was made; `other change`: whatever else changed, in its unit.",
    "FD, N(0, I)": "`FD`: of images that are decoded from z of that prior, to the training images; a Gaussian: that with the moments of the "
    "aggregate posterior.",
}
