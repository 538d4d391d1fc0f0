"""The columns of the comparison's tables: metric -> heading, and what a reader has to know of it.

Of sets of images the metrics are named by the extractor; here they are `fd` and `kid`, whichever it is. ↓ or ↑ is what is better.
"""

IMAGES = {
    "paper/l2": "l2, paper's protocol ↓",
    "reconstruction/l2": "l2 ↓",
    "reconstruction_of_mean/l2": "l2, mean z ↓",
    "multi_sample_mean/l2": "l2, mean of {k} ↓",
    "one_step/l2": "l2, one step ↓",
    "reconstruction/mse": "mse ↓",
    "multi_sample_mean/limit_mse": "mse, mean of ∞ ↓",
    "from_z/kernel_mse": "mse, regression on z ↓",
    "reconstruction/psnr": "PSNR, dB ↑",
    "reconstruction/ssim": "SSIM ↑",
    "paper/lpips_alex": "LPIPS, paper's protocol ↓",
    "reconstruction/lpips_alex": "LPIPS ↓",
    "reconstruction_of_mean/lpips_alex": "LPIPS, mean z ↓",
    "multi_sample_mean/lpips_alex": "LPIPS, mean of {k} ↓",
    "reconstruction/fd": "FD ↓",
    "reconstruction_of_mean/fd": "FD, mean z ↓",
    "multi_sample/fd": "FD, {k} decodings ↓",
    "reconstruction/kid": "KID ↓",
    "latent/kl": "KL, nats",
    "bits_per_dim/total": "bits/dim ↓",
    "prior/bits_per_dim/total": "bits/dim, prior alone ↓",
    "bits_per_dim/above_prior": "bits/dim above the prior ↓",
    "bits_per_dim/gain_over_shuffled": "bits/dim gained over shuffled z ↑",
    "reconstruction/nfe": "NFE",
    "seconds/own": "training, s",
    "seconds/all": "with the prior, s",
}
LATENTS = {
    "latent/kl": "KL, nats",
    "latent/active_units": "active units",
    "latent/total_correlation": "total correlation, nats",
    "latent/probe_accuracy": "probe accuracy ↑",
    "latent/probe_average_precision": "probe AP ↑",
    "latent/dci_disentanglement": "DCI disentanglement ↑",
    "latent/dci_informativeness": "DCI informativeness ↑",
    "latent/dci_completeness": "DCI completeness ↑",
    "latent/mig": "MIG ↑",
    "latent/tad": "TAD ↑",
    "latent/edit/success/0": "success before the edit",
    "latent/edit/success/1": "edit success ↑",
    "latent/edit/preserved/1": "attributes preserved ↑",
    "latent/edit/true_change/1": "true change ↑",
    "latent/edit/off_target/1": "off-target change ↓",
    "latent_prior/normal/fd": "FD, z ~ N(0, I) ↓",
    "latent_prior/gaussian/fd": "FD, z ~ Gaussian fit ↓",
    "latent_prior/diffusion/fd": "FD, z by diffusion ↓",
}
# Those of the table at a glance, and of the paired differences.
SHORT = (
    "reconstruction/l2",
    "multi_sample_mean/l2",
    "multi_sample_mean/limit_mse",
    "reconstruction/lpips_alex",
    "multi_sample_mean/lpips_alex",
    "reconstruction/fd",
    "multi_sample/fd",
    "reconstruction/kid",
    "latent/kl",
    "bits_per_dim/total",
)
# "{k}" stands for the number of decodings, "{fd}" and "{kid}" for the names of the metrics.
NOTES = {
    "paper/l2": "*Paper's protocol*: z is the mean for a VAE and a sample otherwise. Its LPIPS sees images on [0, 1], unclipped; rows "
    "evaluated before it was added lack it.",
    "reconstruction/l2": "Columns without a further word are of one decoding of one z ~ q(z|x).",
    "multi_sample_mean/l2": "*Mean of {k}*: the mean of {k} decodings of one image.",
    "one_step/l2": "*One step*: E[x_0 | x_T, z].",
    "multi_sample_mean/limit_mse": "*Mean of ∞*: the mse of the mean of infinitely many decodings, extrapolated from one and from {k}.",
    "from_z/kernel_mse": "*Regression on z*: a kernel regression of the test images on z, fitted to the training images. It bounds from "
    "above the error that z allows, whatever the decoder.",
    "reconstruction/fd": "FD is `{fd}`, between reconstructions and originals.",
    "multi_sample/fd": "*{k} decodings*: FD of {k} decodings of each image together. FD of one decoding each is biased upwards by sampling.",
    "reconstruction/kid": "KID is `{kid}`, unbiased, of one decoding each.",
    "bits_per_dim/total": "Bits/dim is an upper bound of the model's negative log-likelihood, whatever it was trained with: for a VAE the "
    "Gaussian's mass on the grey levels (tails go to the lowest and highest), otherwise the diffusion bound.",
    "bits_per_dim/above_prior": "*Above the prior*: the bound less the prior's own, paired. It mixes information in z with corrections of the "
    "prior's errors.",
    "bits_per_dim/gain_over_shuffled": "*Gained over shuffled z*: the bound with z shuffled over the images, less the bound. This is information in z.",
    "reconstruction/nfe": "NFE: evaluations of the score in one decoding.",
    "seconds/own": "*Training*: steps at the median rate, in seconds.",
    "latent/active_units": "*Active units*: dimensions whose posterior mean varies by more than 0.01 over the images.",
    "latent/total_correlation": "*Total correlation*: of the aggregate posterior, approximated by a Gaussian.",
    "latent/probe_accuracy": "*Probe*: a linear probe of posterior means, trained on the training images.",
    "latent/probe_average_precision": "*AP*: average precision of probes of binary attributes.",
    "latent/dci_disentanglement": "*DCI*: disentanglement by random forests (openreview By-7dz-AZ); informativeness is their accuracy.",
    "latent/mig": "*MIG*, *TAD*: from the data's exact factors (arXiv:1802.04942, 2209.10677).",
    "latent/edit/success/1": "*Edit success*: the share of images without a class that a pixel classifier assigns to it after a step of strength 1 "
    "along a linear probe's direction.",
    "latent/edit/preserved/1": "*Attributes preserved*: the share of other attributes that the classifier judges as before.",
    "latent/edit/true_change/1": "*True change*: the part made of the change to the true counterfactual; *off-target*: all other change, in its unit.",
    "latent_prior/normal/fd": "*FD, z ~ ...*: images decoded from z of that prior, against the training set.",
}
