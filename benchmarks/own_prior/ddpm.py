"""A DDPM trained in PyTorch by the recipe of diffusers' train_unconditional.py, saved as a pipeline folder.

The recipe: UNet2DModel with the options of that script, DDPMScheduler of 1000 linear steps, the mean squared error of the noise at times
drawn uniformly, AdamW (betas 0.95 and 0.999, weight decay 1e-6), a cosine learning rate after 500 warm-up steps, and an EMA with warm-up.
Widths, batch and steps are those of the digits' own prior.
"""

import random
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from tqdm import tqdm


def train_ddpm(
    images: np.ndarray,
    folder: Path,
    widths: tuple[int, ...],
    blocks: int,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
) -> None:
    """Train on images [n, H, W, C] in [-1, 1] and write the pipeline, with EMA weights, to `folder`."""
    random.seed(seed)
    torch.manual_seed(seed)
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    model = UNet2DModel(
        sample_size=images.shape[1],
        in_channels=images.shape[3],
        out_channels=images.shape[3],
        layers_per_block=blocks,
        block_out_channels=widths,
        down_block_types=("DownBlock2D",) * len(widths),
        up_block_types=("UpBlock2D",) * len(widths),
        norm_num_groups=8,
    )
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    schedule = get_scheduler("cosine", optimiser, num_warmup_steps=min(500, steps // 4), num_training_steps=steps)
    ema = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    for _ in tqdm(range(steps), desc="DDPM by diffusers", unit="step"):
        clean = x[torch.randint(len(x), (batch,))]
        noise, t = torch.randn_like(clean), torch.randint(scheduler.config["num_train_timesteps"], (batch,))
        predicted = model(scheduler.add_noise(clean, noise, t), t).sample
        loss = torch.nn.functional.mse_loss(predicted, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        ema.step(model.parameters())
    ema.copy_to(model.parameters())
    DDPMPipeline(unet=model, scheduler=scheduler).save_pretrained(folder)
