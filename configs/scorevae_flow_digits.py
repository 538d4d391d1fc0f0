"""ScoreVAE on a flow-matching prior, on scikit-learn's 8x8 digits: scorevae_digits.py with rectified flow for its SDE.

    python main.py --config configs/scorevae_flow_digits.py --mode train
    python main.py --config configs/scorevae_flow_digits.py --mode eval

The prior is trained as flow matching is: the network predicts eps - x_0, t is uniform and the loss has no other weight. The encoder is
trained as in scorevae_digits.py. Networks, steps and learning rates are that config's, and so is the cost. t_min is 0.01 so that both
ends of logSNR, -10 and 9.2, are nearly those of the VP there.
"""

from ml_collections import ConfigDict

from sde_vae import load_config


def get_config() -> ConfigDict:
    config = load_config("scorevae_digits")
    config.sde.name = "rectified_flow"
    config.sde.t_min = 0.01
    config.model.prediction = "flow"
    config.stages.prior.weight = "flow"
    config.stages.prior.times = "uniform_t"
    return config
