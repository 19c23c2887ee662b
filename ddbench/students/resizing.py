"""Distilled images brought to the size at which students see the data set."""

from __future__ import annotations

from dataclasses import replace

import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from ddbench.distilled.dataset import DistilledDataset
from ddbench.errors import BadInputError, DataMismatchError
from ddbench.images import DatasetInfo
from ddbench.protocol import Protocol


def at_size_of(distilled: DistilledDataset, info: DatasetInfo, protocol: Protocol) -> DistilledDataset:
    """Return a set with images as large as the data set's, (N, C, S, S); the same set where they are already.

    As the authors of Minimax diffusion do, who save images at 256 px as pictures and open them with Resize(224): by
    Pillow, bilinear and antialiased, in uint8.

    Raises:
        DataMismatchError: images that are larger under a protocol that resizes none, smaller ones, a whole real set of
            another size, or a set that ddbench made at another size than its method was asked for.
        BadInputError: images that are no pixels, or not square.
    """
    side, height, width = info.image_size, *distilled.images.shape[-2:]
    if (height, width) == (side, side):
        return distilled
    if distilled.ipc is None or height < side or width < side:
        raise DataMismatchError(
            f"images of {height}x{width} cannot stand for those of {info.name}, {side}x{side}: only distilled "
            "sets of larger images are resized; name the data set they were made from"
        )
    if not protocol.resize:
        raise DataMismatchError(
            f"the distilled images are {height}x{width} and those of {info.name} {side}x{side}, and protocol "
            f"{protocol.name} does not resize images; name a data set of that size, such as NAME,size={height}, or a "
            "protocol that does, imagenet-hard"
        )
    made_at = distilled.provenance.get("config", {}).get("image_size")
    if "config" in distilled.provenance and made_at != height:
        raise DataMismatchError(
            f"this set of {height}x{width} was distilled from {distilled.provenance.get('dataset')}: it gives no "
            f"result on {info.name}; distil it from {info.name} by a method that has the setting image_size"
        )
    if distilled.images.dtype != torch.uint8 or height != width:
        raise BadInputError(
            f"protocol {protocol.name} resizes square uint8 images, got {height}x{width} {distilled.images.dtype} in "
            f"space {distilled.space}; name a data set of images of that size"
        )
    resized = torch.stack([_resize(image, side) for image in distilled.images.cpu()])
    return replace(distilled, images=resized)


def _resize(image: torch.Tensor, side: int) -> torch.Tensor:
    array = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array if array.shape[2] == 3 else array[:, :, 0])
    resized: torch.Tensor = pil_to_tensor(picture.resize((side, side), Image.Resampling.BILINEAR))
    return resized
