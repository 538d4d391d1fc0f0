"""The options of score_sde's networks."""

from typing import NamedTuple

from sde_vae.errors import BadInput, choose, shortened

# The options that name one of a few ways.
NAMED = {
    "name": ("ddpm", "ncsnpp"),
    "nonlinearity": ("swish", "elu", "relu", "lrelu"),
    "resblock_type": ("ddpm", "biggan"),
    "progressive": ("none", "output_skip", "residual"),
    "progressive_input": ("none", "input_skip", "residual"),
    "progressive_combine": ("sum", "cat"),
    "embedding_type": ("positional", "fourier"),
}


class ScoreSDEOptions(NamedTuple):
    """The options of a network of score_sde, by the names of its config files (sections `model` and `data`).

    name                "ddpm", or "ncsnpp", of which DDPM++ is a case
    nf, ch_mult         channels at full size, and their multiples from resolution to resolution
    attn_resolutions    sizes of images at which blocks are followed by attention
    conditional         whether the network is told the noise level
    fir, fir_kernel     whether images are resampled with a filter, and its taps
    skip_rescale        whether sums of two branches are divided by sqrt 2
    resblock_type       "ddpm", or "biggan": blocks that resample
    progressive         how a pyramid of output images is summed: "none", "output_skip" or "residual"
    progressive_input   how a pyramid of smaller input images enters: "none", "input_skip" or "residual"
    progressive_combine how "input_skip" enters: "sum", or "cat" as further channels
    embedding_type      "positional" (of a time in steps), or "fourier" (of log sigma)
    centered            whether the network was trained on data in [-1, 1], and not [0, 1]
    scale_by_sigma      whether score_sde divides the output by sigma

    The last two say how a network is used: they change nothing in it.
    """

    name: str
    image_size: int
    nf: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 2, 2)
    num_res_blocks: int = 2
    attn_resolutions: tuple[int, ...] = (16,)
    channels: int = 3
    conditional: bool = True
    dropout: float = 0.0
    nonlinearity: str = "swish"
    fir: bool = False
    fir_kernel: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    skip_rescale: bool = False
    resblock_type: str = "ddpm"
    progressive: str = "none"
    progressive_input: str = "none"
    progressive_combine: str = "sum"
    embedding_type: str = "positional"
    fourier_scale: float = 16.0
    init_scale: float = 0.0
    centered: bool = True
    scale_by_sigma: bool = False

    @property
    def taps(self) -> tuple[float, ...]:
        """The taps of the resampling filter; none without `fir`."""
        return self.fir_kernel if self.fir else ()


# What a network by the name of ddpm has no choice of.
OF_DDPM = ("fir", "skip_rescale", "resblock_type", "progressive", "progressive_input", "embedding_type")


def checked(options: ScoreSDEOptions, where: str) -> ScoreSDEOptions:
    """Return the options. Raises BadInput, which begins with `where`, if no network has them.

    >>> checked(ScoreSDEOptions("ddpm", 32), "mine").nf
    128
    """
    for field, names in NAMED.items():
        choose(f"{where}: {field}", getattr(options, field), dict.fromkeys(names))
    defaults = ScoreSDEOptions("ddpm", 1)
    for field in OF_DDPM:
        if options.name == "ddpm" and getattr(options, field) != getattr(defaults, field):
            known = getattr(defaults, field)
            raise BadInput(f"{where}: {field}: a network by the name of ddpm has {known!r}; its name may be ncsnpp")
    if not (1 <= options.num_res_blocks <= 64 and 2 <= len(options.fir_kernel) <= 16 and sum(options.fir_kernel) > 0):
        raise BadInput(f"{where}: num_res_blocks, fir_kernel: expected 1 to 64 blocks, and 2 to 16 taps")
    smallest, unit = (32, 32) if options.name == "ddpm" else (8, 4)
    for n in {options.nf * m for m in options.ch_mult}:
        if n < smallest or n % unit or n % min(n // 4, 32):
            raise BadInput(
                f"{where}: nf, ch_mult: {n} channels do not form groups of a norm; take a power of two, e.g. 128"
            )
    halvings = len(options.ch_mult) - 1
    if not 0 <= halvings < 16 or options.image_size < 1 or options.image_size % 2**halvings:
        shown = shortened(str(options.image_size))
        raise BadInput(f"{where}: image_size: {shown} pixels cannot be halved {halvings} times, as ch_mult demands")
    return options
