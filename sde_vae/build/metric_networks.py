"""config.eval -> the networks of metrics."""

from pathlib import Path

from ml_collections import ConfigDict

from sde_vae.build.data import data_shape
from sde_vae.build.fields import ARRAYS
from sde_vae.errors import BadInput, choose
from sde_vae.evaluators.context import MetricNetworks
from sde_vae.metrics.image.lpips import load_lpips
from sde_vae.metrics.sets.efficientnet import load_efficientnet
from sde_vae.metrics.sets.inception import load_inception
from sde_vae.metrics.sets.pixels import SIDE, load_pixels

# Each takes (config.eval.fid_weights, config.data.channels) and uses what it needs.
EXTRACTORS = {
    "none": lambda weights, channels: None,
    "pixels": lambda weights, channels: load_pixels(channels),
    "efflite0": lambda weights, channels: load_efficientnet(),
    "fid": lambda weights, channels: load_inception(weights),
}


def build_metric_networks(config: ConfigDict) -> MetricNetworks:
    """Load the networks; arrays that are no images have none.

    Raises BadInput that says which extra or which file is missing, or that the images are of a kind which a network cannot take.
    """
    moments = Path(config.data.cache).expanduser() / "moments"
    if config.data.name == ARRAYS:
        return MetricNetworks({}, None, {}, moments)
    if config.data.channels == 4:
        for field, value, none in (
            ("extractor", config.eval.extractor, "none"),
            ("lpips", config.eval.lpips, "None"),
        ):
            if value not in ("none", "pixels", ()):
                raise BadInput(
                    f"config.eval.{field}: got {value}, but images with alpha (config.data.channels=4) have no such distance: set it to "
                    f"{none}"
                )
    if config.eval.extractor == "pixels" and min(sides := data_shape(config)[:2]) < SIDE:
        raise BadInput(
            f"config.eval.extractor: got pixels, which pools images to {SIDE}x{SIDE}, and these are {sides[0]}x{sides[1]}; set it to none"
        )
    if config.eval.extractor == "fid" and not config.eval.fid_weights:
        raise BadInput(
            "config.eval.fid_weights: expected the file of the FID's Inception, pt_inception-2015-12-05-6726825d.pth; "
            "without it set config.eval.extractor=efflite0"
        )
    weights = Path(config.eval.fid_weights).expanduser()
    extractor = choose("config.eval.extractor", config.eval.extractor, EXTRACTORS)(weights, config.data.channels)
    lpips = {f"lpips_{name}": load_lpips(name, lpips_files(config, name)) for name in config.eval.lpips}
    used = {f"weights/{name}": network.identity for name, network in lpips.items()}
    if extractor and extractor.file:
        published = "as published" if extractor.verified else "not the file that was published"
        used[f"weights/{extractor.name}"] = f"sha256 {extractor.file}, {published}"
    return MetricNetworks({name: network.distance for name, network in lpips.items()}, extractor, used, moments)


def lpips_files(config: ConfigDict, name: str) -> tuple[Path, Path] | None:
    """Return (torchvision's network, the reference's heads) in config.eval.lpips_dir, or None if that is not set."""
    if not config.eval.lpips_dir:
        return None
    folder = Path(config.eval.lpips_dir).expanduser()
    networks, heads = sorted(folder.glob(f"{name}*-*.pth")), folder / f"{name}.pth"
    if len(networks) != 1 or not heads.exists():
        raise BadInput(
            f"config.eval.lpips_dir: expected {name}.pth (the heads of LPIPS 0.1) and one {name}*-*.pth (torchvision's "
            f"network) in {folder}, found {', '.join(sorted(p.name for p in folder.glob('*.pth'))) or 'neither'}"
        )
    return networks[0], heads
