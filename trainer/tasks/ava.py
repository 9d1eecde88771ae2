"""The AVA task: clips around keyframes with people's boxes, the head that scores each box, and its prediction."""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torch.utils.data import Dataset
from torchvision.ops import roi_align

from trainer.data.ava_lists import read_list
from trainer.data.clips import read_clip
from trainer.data.frame_archive import FrameArchive
from trainer.data.jpeg import frame_size
from trainer.data.loaders import Sample, evaluation_loader
from trainer.data.transforms import boxes_in_crop, center_crop, full_frame, random_crop
from trainer.datasets import DATASETS
from trainer.models.backbones import Backbone
from trainer.predict import probabilities, run_inference

VALIDATION_SECONDS = 4  # validation during training looks at every fourth second


def clip_indices(center, frames, stride, available):
    """Return the frame indices of a clip around ``center``.

    Of 32 frames with stride 2 they are center - 32, center - 30, ..., center + 30. Those outside the
    video become its first or last frame.
    """
    start = center - frames * stride // 2
    return np.clip(start + stride * np.arange(frames), 0, available - 1)


class AvaClips(Dataset):
    """Clips around keyframes; ``crop_of(height, width)`` returns the `ResizeCrop` of an item."""

    def __init__(self, key_frames, frames, clip, crop_of):
        self.key_frames, self.frames, self.clip, self.crop_of = key_frames, frames, clip, crop_of

    def __len__(self):
        return len(self.key_frames)

    @property
    def item_bytes(self) -> int:
        """About the size of an item in memory: films are at most twice as wide as high."""
        return self.clip.num_frames * self.clip.crop * 2 * self.clip.crop * 3

    def __getitem__(self, row) -> Sample:
        return self._sample(row, self.crop_of)

    def sizes(self):
        """Return (height, width) of each item's frames, from the header of its video's first frame."""
        videos = self.key_frames.videos
        header = {
            video: frame_size(self.frames.read(video, 0), self.frames.name(video, 0)) for video in np.unique(videos)
        }
        return [header[video] for video in videos]

    def _sample(self, row, crop_of):
        table = self.key_frames
        video = str(table.videos[row])
        mine = slice(table.first[row], table.first[row + 1])
        available = self.frames.count(video)
        indices = clip_indices(table.centers[row], self.clip.num_frames, self.clip.stride, available)
        pixels, crop = read_clip(self.frames, video, indices, crop_of)
        return Sample(
            clip=torch.from_numpy(pixels),
            targets=torch.from_numpy(table.targets[mine].astype(np.float32)),
            name=f"{video} second {table.seconds[row]}",
            row=row,
            boxes=torch.from_numpy(boxes_in_crop(table.boxes[mine], crop).astype(np.float32)),
            origins=torch.from_numpy(table.boxes[mine].astype(np.float32)),
        )


class AvaTrainingClips(AvaClips):
    """Randomly cropped clips. An item is (epoch, row); its random numbers depend on these and the seed alone."""

    def __init__(self, key_frames, frames, clip, seed):
        super().__init__(key_frames, frames, clip, None)
        self.seed = seed

    def __getitem__(self, item) -> Sample:
        epoch, row = item
        rng = np.random.default_rng([self.seed, epoch, row])
        return self._sample(row, lambda *size: random_crop(rng, *size, self.clip.short_side_range, self.clip.crop))


def training_set(run):
    """Return the training clips of a run; items are (epoch, row)."""
    return AvaTrainingClips(read_list(run.data.train), FrameArchive(run.data.frames), run.clip, run.seed)


def validation_set(run):
    """Return the clips validated during training: every fourth second, the center of the frame."""
    crop_of = partial(center_crop, short=run.clip.crop)
    return AvaClips(read_list(run.data.test, VALIDATION_SECONDS), FrameArchive(run.data.frames), run.clip, crop_of)


def test_set(run):
    """Return the test clips: every key second, the whole width of the frame."""
    crop_of = partial(full_frame, short=run.clip.crop)
    return AvaClips(read_list(run.data.test), FrameArchive(run.data.frames), run.clip, crop_of)


class AvaHead(nn.Module):
    """Score the actions of people: average over time, RoIAlign of each person's box, maximum over it, linear.

    The loss is a binary cross-entropy of logits: the published one of probabilities, but with a gradient where those
    round to 0 or 1. The projection keeps PyTorch's initialization, as the published model class never calls SlowFast's.
    """

    resolution = 7  # of RoIAlign

    def __init__(self, channels: int, space_stride: int, classes: int, dropout: float):
        super().__init__()
        self.space_stride = space_stride
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(channels, classes)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Return (N, classes) of (B, C, T', H', W') features at ``boxes`` (N, 5): clip in batch, x1, y1, x2, y2.

        Boxes are in pixels of the clip. The average is over all feature frames, however many the backbone makes.
        Logits in training, probabilities in evaluation.
        """
        pooled = roi_align(
            features.mean(2),
            boxes,
            output_size=self.resolution,
            spatial_scale=1 / self.space_stride,
            sampling_ratio=0,  # adaptive: as many samples per bin as it has feature pixels
            aligned=True,
        )
        maximum = max_pool2d(pooled, self.resolution).flatten(1)  # not amax, which shares gradients out among ties
        logits = self.projection(self.dropout(maximum))
        return logits if self.training else logits.sigmoid()


def build_head(run, backbone: Backbone) -> AvaHead:
    """Return the head for features of ``backbone``."""
    return AvaHead(backbone.channels, backbone.space_stride, DATASETS["ava"].num_classes, run.model.dropout)


def predict_validation(model, run, group):
    """Return predictions of every fourth second."""
    return predict_boxes(model, validation_set(run), run, group)


def predict_test(model, run, group):
    """Return predictions of every key second."""
    return predict_boxes(model, test_set(run), run, group)


def predict_boxes(model, clips, run, group):
    """Score every person box of AVA clips.

    Returns arrays with a row per box, in list order: row (of the list's key frames), video, second, box (N, 4) as
    fractions of the frame, score (N, classes).
    """

    def score(batch):
        rows = batch.rows[batch.boxes[:, 0].long()]
        return {"row": rows, "box": batch.origins, "score": probabilities(model, batch.clips, run, batch.boxes)}

    predictions = run_inference(evaluation_loader(clips, run, group.rank), score, model, group)
    listed = clips.key_frames
    return predictions | {"video": listed.videos[predictions["row"]], "second": listed.seconds[predictions["row"]]}
