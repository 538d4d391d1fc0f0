"""The models that score_sde's config files describe, by the names of those files (arXiv:2011.13456, appendices C and H).

A checkpoint holds no config. Without one nobody can tell from a file whether a network was trained on a VP or a sub-VP SDE.
"""

from typing import NamedTuple

from sde_vae.nets.score_sde_options import ScoreSDEOptions


class Preset(NamedTuple):
    """A model of score_sde, by the names of its config files.

    options                 the network (sections `model` and `data`)
    sde                     "vpsde", "subvpsde" or "vesde"
    continuous              whether it was trained at all times, and not at `num_scales` of them
    sigma_min, sigma_max    of the VE SDE, in the units of the data that the network was trained on
    beta_min, beta_max      of the VP and the sub-VP SDE
    """

    options: ScoreSDEOptions
    sde: str
    continuous: bool = True
    num_scales: int = 1000
    sigma_min: float = 0.01
    sigma_max: float = 50.0
    beta_min: float = 0.1
    beta_max: float = 20.0


def _vp(options: ScoreSDEOptions) -> Preset:
    return Preset(options, "vpsde")


def _sub_vp(options: ScoreSDEOptions) -> Preset:
    return Preset(options, "subvpsde")


def _ve(options: ScoreSDEOptions) -> Preset:
    """The VE models see data in [0, 1], and give the score."""
    return Preset(options._replace(centered=False, scale_by_sigma=True), "vesde")


def _discrete(preset: Preset) -> Preset:
    return preset._replace(continuous=False)


# Networks at CIFAR-10's size. "Deep" ones have twice the blocks.
DDPM = ScoreSDEOptions("ddpm", 32, dropout=0.1)
DDPMPP = ScoreSDEOptions("ncsnpp", 32, num_res_blocks=4, dropout=0.1, skip_rescale=True, resblock_type="biggan")
NCSNPP = DDPMPP._replace(fir=True, progressive_input="residual")
FOURIER = NCSNPP._replace(embedding_type="fourier")
DEEP = 8
# Networks at 256 and 1024 pixels.
DDPM_256 = ScoreSDEOptions("ddpm", 256, ch_mult=(1, 1, 2, 2, 4, 4))
NCSNPP_256 = FOURIER._replace(
    image_size=256,
    ch_mult=(1, 1, 2, 2, 2, 2, 2),
    num_res_blocks=2,
    dropout=0.0,
    progressive="output_skip",
    progressive_input="input_skip",
)
NCSNPP_1024 = NCSNPP_256._replace(image_size=1024, nf=16, ch_mult=(1, 2, 4, 8, 16, 32, 32, 32), num_res_blocks=1)
VE_256 = _ve(NCSNPP_256)._replace(num_scales=2000, sigma_max=348.0)
VE_1024 = _ve(NCSNPP_1024)._replace(num_scales=2000, sigma_max=1348.0)

PRESETS: dict[str, Preset] = {
    "vp/ddpm/cifar10": _discrete(_vp(DDPM)),
    "vp/ddpm/cifar10_continuous": _vp(DDPM),
    "vp/ddpm/cifar10_unconditional": _discrete(_vp(DDPM._replace(conditional=False))),
    "vp/ddpm/bedroom": _discrete(_vp(DDPM_256)),
    "vp/ddpm/celebahq": _discrete(_vp(DDPM_256)),
    "vp/ddpm/church": _discrete(_vp(DDPM_256)),
    "vp/cifar10_ddpmpp": _discrete(_vp(DDPMPP)),
    "vp/cifar10_ddpmpp_continuous": _vp(DDPMPP),
    "vp/cifar10_ddpmpp_deep_continuous": _vp(DDPMPP._replace(num_res_blocks=DEEP)),
    "vp/cifar10_ncsnpp": _discrete(_vp(NCSNPP)),
    "vp/cifar10_ncsnpp_continuous": _vp(NCSNPP),
    "vp/cifar10_ncsnpp_deep_continuous": _vp(NCSNPP._replace(num_res_blocks=DEEP)),
    "subvp/cifar10_ddpm_continuous": _sub_vp(DDPM),
    "subvp/cifar10_ddpmpp_continuous": _sub_vp(DDPMPP),
    "subvp/cifar10_ddpmpp_deep_continuous": _sub_vp(DDPMPP._replace(num_res_blocks=DEEP)),
    "subvp/cifar10_ncsnpp_continuous": _sub_vp(NCSNPP),
    "subvp/cifar10_ncsnpp_deep_continuous": _sub_vp(NCSNPP._replace(num_res_blocks=DEEP)),
    "ve/cifar10_ddpm": _discrete(_ve(DDPM)),
    "ve/cifar10_ncsnpp": _discrete(_ve(NCSNPP)),
    "ve/cifar10_ncsnpp_continuous": _ve(FOURIER),
    "ve/cifar10_ncsnpp_deep_continuous": _ve(FOURIER._replace(num_res_blocks=DEEP)),
    "ve/celeba_ncsnpp": _discrete(_ve(NCSNPP._replace(image_size=64)))._replace(sigma_max=90.0),
    "ve/bedroom_ncsnpp_continuous": VE_256._replace(sigma_max=378.0),
    "ve/church_ncsnpp_continuous": VE_256._replace(sigma_max=380.0),
    "ve/celebahq_256_ncsnpp_continuous": VE_256,
    "ve/ffhq_256_ncsnpp_continuous": VE_256,
    "ve/celebahq_ncsnpp_continuous": VE_1024,
    "ve/ffhq_ncsnpp_continuous": VE_1024,
}
