"""Augmentation moves an image by at most one pixel and invents nothing."""

import torch
import torch.nn.functional as F

from models import recipe
from models.digits.train import shifted


def neighbours(image: torch.Tensor) -> list[torch.Tensor]:
    """The nine images that one pixel at most away gives."""
    padded = F.pad(image, (1, 1, 1, 1))
    return [padded[:, down : down + 8, right : right + 8] for down in range(3) for right in range(3)]


def test_each_image_is_one_of_its_nine_neighbours_and_all_nine_occur() -> None:
    images = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with recipe.seeded(0):
        moved = shifted(images)
    found = [
        next(index for index, near in enumerate(neighbours(image)) if torch.equal(near, new))
        for image, new in zip(images, moved, strict=True)
    ]
    assert set(found) == set(range(9))
