"""The confidence head C_phi: from features z to one predicted score per class (paper, section 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advconf_lite.segmenter import decided
from advconf_lite.support.errors import BadInput


class ConfidenceHead(nn.Module):
    """Wide but shallow: a 1x1 reduction, two 3x3 blocks, two fully connected layers.

    The paper says that two 3x3 blocks reduce 64 to 8 channels; in the published code the reduction is a 1x1
    convolution before them, and activation comes before normalisation. Both are followed here.

    The first fully connected layer holds most of the weights (4.2 of 4.2 million for 64 x 64 features) and ties a
    head to one image size.

    Args:
        features: (C, h, w) of z.
        num_scores: how many classes get a score.
        norm: "batch" or "group". With batch norm, clean and adversarial images share statistics in training.
        bias: of the last layer.
        output: "identity" (a prediction may leave [0, 1]) or "sigmoid".
    """

    def __init__(self, features: tuple[int, int, int], num_scores: int, channels: int = 8, hidden: int = 128,
                 norm: str = "batch", bias: bool = True, output: str = "identity") -> None:  # fmt: skip
        super().__init__()
        self.features = tuple(features)
        if len(self.features) != 3:
            raise BadInput(f"features have shape {self.features}; a head reads maps (C, h, w) of slices")
        in_channels, h, w = self.features

        def block(c_in: int, kernel: int) -> list[nn.Module]:
            normalise = nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(min(4, channels), channels)
            return [nn.Conv2d(c_in, channels, kernel, padding=kernel // 2), nn.LeakyReLU(), normalise]

        self.reduce = nn.Sequential(*block(in_channels, 1), *block(channels, 3), *block(channels, 3))
        self.score = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * h * w, hidden),
            nn.LeakyReLU(),
            nn.LayerNorm(hidden),
            nn.Linear(hidden, num_scores, bias=bias),
            nn.Sigmoid() if output == "sigmoid" else nn.Identity(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """z (B, C, h, w) -> predicted scores (B, num_scores)."""
        if tuple(z.shape[1:]) != self.features:
            raise BadInput(
                f"this head reads features {self.features}, and these are {tuple(z.shape[1:])}; a head belongs to one layer "
                "and one image size, so give images of the size that it was trained on"
            )
        return self.score(self.reduce(z))


@torch.no_grad()
def head_scores(head: nn.Module, z: Tensor, batch: int = 64) -> Tensor:
    """Predicted scores (N, num_scores) of features z (N, C, h, w), in evaluation mode; restores the mode the head is in."""
    was_training = head.training
    head.eval()
    try:
        return torch.cat([head(part) for part in z.split(batch)])
    finally:
        head.train(was_training)


@torch.no_grad()
def predict_scores(segmenter: nn.Module, head: nn.Module, images: Tensor, batch: int = 64) -> Tensor:
    """Predicted scores (N, num_scores) of images (N, channels, H, W): one pass each, and no ground truth.

    NaN where the segmenter's logits are NaN or infinite: there is no mask that could be good or bad.

    Example:
        >>> segmenter = lambda x: (x, x)  # logits and z
        >>> predict_scores(segmenter, ConfidenceHead((1, 8, 8), num_scores=3), torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 3])
    """
    device = next(head.parameters()).device
    passes = (segmenter(part.to(device)) for part in images.split(batch))
    return torch.cat([head_scores(head, z, batch).masked_fill(~decided(logits)[:, None], torch.nan) for logits, z in passes])
