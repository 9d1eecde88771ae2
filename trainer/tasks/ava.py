"""The AVA task: clips around keyframes with people's boxes, the head that scores each box, and its prediction."""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torch.utils.data import Dataset
from torchvision.ops import roi_align

from trainer.config import Boxes
from trainer.data.ava_lists import read_list
from trainer.data.clips import indices_around, read_clip
from trainer.data.frame_archive import FrameArchive
from trainer.data.jpeg import frame_size
from trainer.data.loaders import Sample, evaluation_loader
from trainer.data.regions import extended, jittered, regions_in_crop
from trainer.data.transforms import center_crop, full_frame, hsv_jitter, random_crop
from trainer.datasets import DATASETS
from trainer.metrics.ava_csv import VALIDATION_SECONDS
from trainer.models.backbones import Backbone
from trainer.predict import probabilities, run_inference

SEVERE_BOXES = Boxes()


class AvaClips(Dataset):
    """Clips around keyframes; ``crop_of(height, width)`` returns the `ResizeCrop` of an item."""

    def __init__(self, key_frames, frames, clip, crop_of, boxes=SEVERE_BOXES):
        self.key_frames, self.frames, self.clip, self.crop_of = key_frames, frames, clip, crop_of
        self.boxes = boxes

    def __len__(self):
        return len(self.key_frames)

    @property
    def item_bytes(self) -> int:
        """About the size of an item in memory: films are at most twice as wide as high."""
        return self.clip.num_frames * self.clip.test_side * 2 * self.clip.test_side * 3

    def __getitem__(self, row) -> Sample:
        pixels, regions = self._read(row, self.crop_of)
        if self.boxes.extension:
            regions = extended(regions, pixels.shape[1:3], self.boxes.extension)
        return self._sample(row, pixels, regions)

    def sizes(self):
        """Return (height, width) of each item's frames, from the header of its video's first frame."""
        videos = self.key_frames.videos
        header = {
            video: frame_size(self.frames.read(video, 0), self.frames.name(video, 0)) for video in np.unique(videos)
        }
        return [header[video] for video in videos]

    def _read(self, row, crop_of):
        """Return an item's pixels (T, H, W, 3) uint8 RGB, and its boxes (n, 4) in pixels of the clip."""
        table, clip, video = self.key_frames, self.clip, str(self.key_frames.videos[row])
        available = self.frames.count(video)
        indices = indices_around(table.centers[row], clip.num_frames, clip.stride, available, clip.lead)
        pixels, crop = read_clip(self.frames, video, indices, crop_of)
        return pixels, regions_in_crop(table.boxes[table.boxes_of(row)], crop, self.boxes.convention)

    def _sample(self, row, pixels, regions):
        table, mine = self.key_frames, self.key_frames.boxes_of(row)
        return Sample(
            clip=torch.from_numpy(pixels),
            targets=torch.from_numpy(table.targets[mine].astype(np.float32)),
            name=f"{table.videos[row]} second {table.seconds[row]}",
            row=row,
            boxes=torch.from_numpy(regions.astype(np.float32)),
            origins=torch.from_numpy(table.boxes[mine].astype(np.float32)),
        )


class AvaTrainingClips(AvaClips):
    """Randomly cropped clips. An item is (epoch, row); its random numbers depend on these and the seed alone."""

    def __init__(self, key_frames, frames, clip, seed, boxes=SEVERE_BOXES):
        super().__init__(key_frames, frames, clip, None, boxes)
        self.seed = seed

    def __getitem__(self, item) -> Sample:
        epoch, row = item
        rng, clip = np.random.default_rng([self.seed, epoch, row]), self.clip
        pixels, regions = self._read(row, lambda *size: random_crop(rng, *size, clip.short_side_range, clip.crop))
        if clip.hsv_jitter:
            hsv_jitter(rng, pixels, clip.hsv_jitter)  # in place
        if self.boxes.jitter:
            regions = jittered(regions, pixels.shape[1:3], self.boxes.jitter, rng.random((4, len(regions))))
        return self._sample(row, pixels, regions)


def training_set(run):
    """Return the training clips of a run; items are (epoch, row)."""
    boxes = run.boxes
    key_frames = read_list(run.data.train, min_score=boxes.min_score, detections=boxes.train_detections)
    return AvaTrainingClips(key_frames, FrameArchive(run.data.frames), run.clip, run.seed, boxes)


def validation_set(run):
    """Return the clips validated during training: every fourth second, the center of the frame."""
    return _test_clips(run, partial(center_crop, short=run.clip.crop), every=VALIDATION_SECONDS)


def test_set(run):
    """Return the test clips: every key second, the whole width of the frame."""
    return _test_clips(run, partial(full_frame, short=run.clip.test_side))


def _test_clips(run, crop_of, every=1):
    key_frames = read_list(run.data.test, every, min_score=run.boxes.min_score)
    return AvaClips(key_frames, FrameArchive(run.data.frames), run.clip, crop_of, run.boxes)


class AvaHead(nn.Module):
    """Score the actions of people: average over time, RoIAlign of each person's box, maximum over it, linear.

    The loss is a binary cross-entropy of logits: the published one of probabilities, but with a gradient where those
    round to 0 or 1. The projection keeps PyTorch's initialization, as the published model class never calls SlowFast's.
    """

    resolution = 7  # of RoIAlign

    def __init__(self, channels: int, space_stride: int, classes: int, dropout: float, aligned: bool = True):
        super().__init__()
        self.space_stride, self.aligned = space_stride, aligned
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
            aligned=self.aligned,
        )
        maximum = max_pool2d(pooled, self.resolution).flatten(1)  # not amax, which splits gradients among ties
        logits = self.projection(self.dropout(maximum))
        return logits if self.training else logits.sigmoid()


loss = nn.functional.binary_cross_entropy_with_logits  # actions do not exclude each other


def build_head(run, backbone: Backbone) -> AvaHead:
    """Return the head for features of ``backbone``."""
    aligned = run.boxes.convention == "slowfast"
    return AvaHead(backbone.channels, backbone.space_stride, DATASETS["ava"].num_classes, run.model.dropout, aligned)


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
    if clips.boxes.weight_by_score:
        predictions["score"] *= listed.scores[:, None]
    return predictions | {"video": listed.videos[predictions["row"]], "second": listed.seconds[predictions["row"]]}
