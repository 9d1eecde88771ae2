"""The two heads of the benchmark: features of a backbone in, logits (training) or probabilities (evaluation) out.

Both losses are binary cross-entropies, and both heads leave the sigmoid to ``binary_cross_entropy_with_logits`` in
training: the same function as the published cross-entropy of probabilities, and safe where those round to 0 or 1.
The projection keeps PyTorch's initialisation: the published model class never calls SlowFast's own (normal, 0.01).
"""

from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, max_pool2d
from torchvision.ops import roi_align

from trainer.models.backbone import CHANNELS, SPACE_STRIDE


class AvaHead(nn.Module):
    """Actions of people: average over time, RoIAlign of each person's box, maximum over it, linear."""

    resolution = 7  # of RoIAlign

    def __init__(self, classes: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(CHANNELS, classes)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Score (B, 512, T', H', W') features at ``boxes`` (N, 5): clip in batch, x1, y1, x2, y2 in clip pixels.

        Returns (N, classes). The average is over all feature frames, however many the backbone makes.
        """
        pooled = roi_align(
            features.mean(2),
            boxes,
            output_size=self.resolution,
            spatial_scale=1 / SPACE_STRIDE,
            sampling_ratio=0,  # adaptive: as many samples per bin as it has feature pixels
            aligned=True,
        )
        maximum = max_pool2d(pooled, self.resolution).flatten(1)  # not amax, which shares gradients out among ties
        logits = self.projection(self.dropout(maximum))
        return logits if self.training else logits.sigmoid()


class CharadesHead(nn.Module):
    """Actions of a clip: average over windows of the training clip's size, linear.

    ``window`` is (T', H', W') of the features of a training clip. Larger features leave a grid of scores: logits are
    averaged over it in training, probabilities in evaluation (SlowFast's fully convolutional inference).
    """

    def __init__(self, classes: int, dropout: float, window: tuple[int, int, int]):
        super().__init__()
        self.window = window
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(CHANNELS, classes)

    def forward(self, features: Tensor, boxes: None = None) -> Tensor:
        """Score (B, 512, T', H', W') features; returns (B, classes)."""
        grid = avg_pool3d(features, self.window, stride=1).permute(0, 2, 3, 4, 1)  # channels last, for the linear
        logits = self.projection(self.dropout(grid))
        return (logits if self.training else logits.sigmoid()).mean((1, 2, 3))
