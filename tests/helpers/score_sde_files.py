"""Files as score_sde writes them, with random weights."""

import json
from collections import OrderedDict

import numpy as np
import pytest
from flax import serialization

torch = pytest.importorskip("torch")

from sde_vae.pretrained.score_sde_names import torch_sources


def write_torch(path, preset, averages, drop=(), shape_of=None):
    """Write `checkpoint_N.pth`: the last parameters are not the averages, and the Fourier features are in the model only."""
    model = OrderedDict({"module.sigmas": sigmas_of(preset)})
    model.update(
        {f"module.{name}": t if name.endswith(".0.W") and t.ndim == 1 else t + 1 for name, t in averages.items()}
    )
    model = OrderedDict((name, t) for name, t in model.items() if name not in drop)
    trained = [t for name, t in averages.items() if not (name == "all_modules.0.W" and t.ndim == 1)]
    state = {
        i: {"step": 5, "exp_avg": torch.zeros_like(t), "exp_avg_sq": torch.zeros_like(t)} for i, t in enumerate(trained)
    }
    group = {"lr": 2e-4, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "params": list(range(len(trained)))}
    optimizer = {"state": state, "param_groups": [group]}
    ema = {"decay": 0.999, "num_updates": 5, "shadow_params": trained}
    torch.save({"optimizer": optimizer, "model": model, "ema": ema, "step": 5}, path)


def sigmas_of(preset):
    """The buffer of the noise levels, from the largest down."""
    return torch.tensor(np.geomspace(preset.sigma_max, preset.sigma_min, preset.num_scales), dtype=torch.float32)


def write_flax(path, preset, averages, old=False):
    """Write `checkpoint_N`. With `old` the parameters of the norms are [1, 1, 1, C], as flax up to 0.3.4 had them."""
    params = {}
    for (*layers, leaf), source in torch_sources(preset.options).items():
        within = params
        for layer in layers:
            within = within.setdefault(layer, {})
        array = averages[source.name].numpy()
        array = array.transpose(source.axes) if source.axes else array
        norm = old and layers[-1].startswith("GroupNorm")
        within[leaf] = np.ascontiguousarray(array.reshape(1, 1, 1, -1) if norm else array)
    zeros = serialization.msgpack_restore(serialization.msgpack_serialize(params))
    state = {
        "step": 5,
        "optimizer": {"target": zeros, "state": {"step": np.int32(5), "param_states": zeros}},
        "lr": 2e-4,
        "model_state": {},
        "ema_rate": 0.999,
        "params_ema": params,
        "rng": np.array([0, 5], np.uint32),
    }
    path.write_bytes(serialization.msgpack_serialize(state))


def write_fields(path, preset):
    """Write the JSON beside a checkpoint."""
    fields = {**preset._asdict(), **preset.options._asdict()}
    del fields["options"]
    path.with_name(f"{path.name}.json").write_text(json.dumps(fields))
