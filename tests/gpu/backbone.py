"""Step `backbone`: a small diffusion transformer for CIFAR-10, trained for the time that is left.

In the end it leaves one file, `backbone.safetensors`: the weights in float16, a grid of samples as tensor `samples`,
and as metadata what other steps put into their JSON. `tests.gpu.take_over` unpacks it.
"""

from __future__ import annotations

import json
import time
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ddbench import load_dataset
from ddbench.diffusion.backbone import NO_VAE, load_codec
from ddbench.diffusion.denoiser import Denoiser, DenoiserShape, make_denoiser
from ddbench.diffusion.fine_tuning import FineTuning, TuningPlan, load_trained
from ddbench.diffusion.inputs import PixelInputs
from ddbench.diffusion.noising import NUM_TIMESTEPS, NoiseSchedule, diffusion_loss
from ddbench.diffusion.sampling import SamplingPlan, draw_images
from ddbench.engine.arithmetic import arithmetic_of
from ddbench.engine.compiled import in_precision
from ddbench.errors import DataMissingError
from ddbench.host.files import staged_file
from ddbench.images import LabeledImages
from tests.gpu._step import Step, run_step

# 6.3 million parameters, 12 MiB in float16. Our choice.
SHAPE = DenoiserShape(32, 3, 10, patch_size=2, width=256, depth=5, heads=4)
BATCH, LEARNING_RATE, TRIAL_STEPS, AFTER_SECONDS = 256, 6e-4, 30, 12.0
TRUST = 0.9  # in the seconds of a step as they were just measured
HELD_OUT = 0.02  # of the training split; the test split is nobody's to look at
COLUMNS = 10


def backbone(step: Step) -> None:
    """Train, measure the held-out loss, draw a grid, and save."""
    dataset = step.size("cifar10", "digits")
    try:
        train = load_dataset(dataset).train
    except DataMissingError as error:
        step.say(f"not run: {error}")
        return
    info = train.info
    tiny = DenoiserShape(info.image_size, info.channels, info.num_classes, patch_size=4, width=16, depth=2, heads=2)
    shape, batch = step.size(SHAPE, tiny), step.size(BATCH, 8)
    kept, held_out = _split(train)
    with arithmetic_of("fp32", step.device):
        trial = _training(shape, kept, batch, TRIAL_STEPS, step)
        each = _seconds_of(trial, step.size(TRIAL_STEPS, 2), step)
        steps = step.size(max(100, int(TRUST * (step.left - AFTER_SECONDS) / each)), 5)
        training = _training(shape, kept, batch, steps, step)
        found = step.part("training", lambda: _train(training, steps, step), needs=step.size(10, 1))
        if found is None:
            return
        denoiser = training.denoiser
        load_trained(denoiser, training.average)
        denoiser.eval().requires_grad_(False)
        loss = step.part("held-out loss", lambda: held_out_loss(denoiser, held_out, step.device))
        samples = step.part("samples", lambda: _grid(denoiser, info.num_classes, step.size(20, 3)))
    step.say(f"{steps} steps of {batch} in bf16, {1000 * each:.1f} ms each; held-out loss {loss}")
    tensors = {name: value.detach().half().cpu().contiguous() for name, value in denoiser.state_dict().items()}
    if samples is not None:
        tensors["samples"], step.parts["samples"] = samples, list(samples.shape)
    step.parts |= {"shape": vars(shape), "dataset": info.name, "fingerprint": info.fingerprint}
    size = sum(tensor.nbytes for tensor in tensors.values()) / 2**20
    step.expect("file", f"it has {size:.1f} MiB", holds=size < 15)
    kept_in = step.out / "backbone.safetensors"
    with staged_file(kept_in) as path:
        save_file(tensors, path, metadata={"record": json.dumps(step.record(is_whole=True))})
    step.kept_in = kept_in


def _split(train: LabeledImages) -> tuple[LabeledImages, LabeledImages]:
    """Return the split without and with a share of it that is held out, drawn by a fixed seed."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    count = max(10, int(HELD_OUT * len(train)))
    parts = (order[count:], order[:count])
    kept, held_out = (LabeledImages(train.pixels(part), train.labels[part], train.info) for part in parts)
    return kept, held_out


def _training(shape: DenoiserShape, train: LabeledImages, batch: int, steps: int, step: Step) -> FineTuning:
    denoiser = make_denoiser(shape)
    denoiser.initialise(torch.Generator().manual_seed(0))
    plan = TuningPlan(
        steps=steps,
        batch_size=batch,
        lr=LEARNING_RATE,
        ema_decay=1 - 1 / max(2, round(0.02 * steps)),
        trainable="full",
        flips=train.info.name == "cifar10",
        precision="bf16",
        rate="cosine",
    )
    classes = list(range(train.num_classes))
    inputs = PixelInputs(train, classes, load_codec(NO_VAE))
    return FineTuning(denoiser.to(step.device), inputs, torch.arange(train.num_classes), plan, seed=0)


def _seconds_of(training: FineTuning, steps: int, step: Step) -> float:
    """Return the seconds of a step, the first few left out."""
    for index in range(steps // 2):
        training.run(index).item()
    started = time.monotonic()
    for index in range(steps // 2, steps):
        loss = training.run(index)
    loss.item()
    return (time.monotonic() - started) / (steps - steps // 2)


def _train(training: FineTuning, steps: int, step: Step) -> dict[str, Any]:
    losses = {}
    for index in range(steps):
        loss = training.run(index)
        if index % max(1, steps // 40) == 0 or index == steps - 1:
            losses[index] = loss.item()
            print(f"step {index} of {steps}: loss {losses[index]:.4f}", flush=True)
    return {"steps": steps, "losses": losses}


@torch.no_grad()
def held_out_loss(denoiser: Denoiser, images: LabeledImages, device: torch.device) -> float:
    """Return the mean loss on held-out images, each at a fixed draw of timestep and noise."""
    generator, schedule, codec = torch.Generator().manual_seed(1), NoiseSchedule.linear(device), load_codec(NO_VAE)
    total = 0.0
    for places in torch.arange(len(images)).split(250):
        clean, _ = codec.encode(images.pixels(places))
        noise = torch.randn(clean.shape, generator=generator).to(device)
        timesteps = torch.randint(NUM_TIMESTEPS, (len(places),), generator=generator).to(device)
        clean, labels = clean.to(device), images.labels[places].to(device)
        noisy = schedule.add_noise(clean, noise, timesteps)
        with in_precision("bf16", device):
            output = denoiser(noisy, timesteps, labels)
        total += float(diffusion_loss(output.float(), clean, noisy, noise, timesteps, schedule)) * len(places)
    return total / len(images)


def _grid(denoiser: Denoiser, num_classes: int, steps: int) -> Tensor:
    """Return (K * 10, C, H, W) uint8 samples, ten of each class, sorted by class."""
    plan, labels = SamplingPlan("dpm++", steps, guidance=1.5, clips=True), list(range(num_classes))
    drawn = [draw_images(denoiser, labels, index, torch.arange(num_classes), plan, seed=0) for index in range(COLUMNS)]
    return load_codec(NO_VAE).decode(torch.stack(drawn, 1).flatten(0, 1)).cpu()


if __name__ == "__main__":
    run_step("backbone", backbone)
