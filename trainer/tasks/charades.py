"""The Charades task: clips of videos, the head that scores a clip, and the prediction over all views of a video."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d
from torch.utils.data import Dataset

from trainer.data.charades_lists import label_union, read_list
from trainer.data.clips import indices_from, read_clip
from trainer.data.frame_archive import FrameArchive
from trainer.data.loaders import OnDevice, Sample, empty_shared, evaluation_loader, video_loader
from trainer.data.transforms import crops_along, float32_resizer, full_frame, int16_resizer, random_crop
from trainer.datasets import DATASETS
from trainer.models.backbones import Backbone
from trainer.predict import probabilities, run_inference


def clip_span(frames, stride):
    """Return the number of frames from a clip's first to its last: 249 for 32 frames, stride 8."""
    return round((frames - 1) * stride) + 1


def random_start(rng, span, available):
    """Return a uniform start that keeps the clip within the video or, in a shorter video, the video within the clip."""
    room = available - span
    return int(rng.integers(min(room, 0), max(room, 0), endpoint=True))


def even_starts(clips, span, available):
    """Return the starts of ``clips`` clips spread evenly over the video, rounded half to even."""
    room = max(available - span, 0)
    return [round(room / (clips - 1) * k) for k in range(clips)] if clips > 1 else [round(room / 2)]


class CharadesClips(Dataset):
    """One random clip of each video, randomly cropped, for training and for validation during training.

    An item is (epoch, row); its random numbers depend on these and the seed alone. With ``whole_labels`` the target has
    the actions of the whole video, otherwise those from the clip's first to its last frame.
    """

    def __init__(self, videos, frames, clip, seed, whole_labels):
        self.videos, self.frames, self.clip = videos, frames, clip
        self.seed, self.whole_labels = seed, whole_labels

    def __len__(self):
        return len(self.videos)

    @property
    def item_bytes(self) -> int:
        """The size of an item in memory: pixels are float32."""
        return self.clip.num_frames * self.clip.crop**2 * 3 * 4

    def __getitem__(self, item) -> Sample:
        epoch, row = item
        rng = np.random.default_rng([self.seed, epoch, row])
        video, available = str(self.videos.names[row]), int(self.videos.frames[row])
        start = random_start(rng, clip_span(self.clip.num_frames, self.clip.stride), available)
        indices = indices_from(start, self.clip.num_frames, self.clip.stride, available)
        labeled = (0, available - 1) if self.whole_labels else (indices[0], indices[-1])
        target = label_union(self.videos.segments_of(row), *labeled)
        pixels, _ = read_clip(
            self.frames,
            video,
            indices,
            lambda *size: random_crop(rng, *size, self.clip.short_side_range, self.clip.crop),
            float32_resizer,
        )
        name = f"{video} from frame {indices[0]}"
        return Sample(torch.from_numpy(pixels), torch.from_numpy(target)[None], name, row)


class CharadesValidationClips(CharadesClips):
    """The same random clips at every validation, so that scores can be compared. An item is a row."""

    def __getitem__(self, row) -> Sample:
        return super().__getitem__((0, row))

    def sizes(self):
        """Return the size of each item: all clips are crops of one size."""
        return [self.clip.crop] * len(self)


@dataclass
class VideoViews(OnDevice):
    """The frames of all test views of a video, each of them once."""

    frames: torch.Tensor  # (n, height, width, 3) RGB int16, see `loaders.WHITE`; the short side resized
    places: torch.Tensor  # (clips, T) which of the frames make each clip
    crops: list  # ResizeCrop of each crop
    target: torch.Tensor  # (classes,) float32, the actions of the whole video
    row: torch.Tensor  # () int64: which item of the dataset it is

    def clips(self, chunk):
        """Yield all views, crop by crop, in chunks of at most ``chunk`` clips: (k, 3, T, side, side), int16.

        Each chunk overwrites the one before: on a CPU, fresh memory costs more than copying the pixels.
        """
        memory = self.frames.new_empty((min(chunk, len(self.places)), self.places.shape[1], *self.crops[0].crop, 3))
        for crop in self.crops:
            rows, columns = slice(crop.top, crop.top + crop.crop[0]), slice(crop.left, crop.left + crop.crop[1])
            for places in self.places.split(chunk):
                clips = memory[: len(places)]
                torch.index_select(self.frames[:, rows, columns], 0, places.flatten(), out=clips.flatten(0, 1))
                yield clips.permute(0, 4, 1, 2, 3)


class CharadesTestVideos(Dataset):
    """All test views of a video as one item: each distinct frame is decoded and resized once."""

    def __init__(self, videos, frames, clip):
        self.videos, self.frames, self.clip = videos, frames, clip

    def __len__(self):
        return len(self.videos)

    @property
    def item_bytes(self) -> int:
        """About the size of an item in memory: videos are at most twice as wide as high, pixels are int16."""
        return self.clip.test_clips * self.clip.num_frames * self.clip.test_side * 2 * self.clip.test_side * 3 * 2

    def __getitem__(self, row) -> VideoViews:
        video, available = str(self.videos.names[row]), int(self.videos.frames[row])
        span = clip_span(self.clip.num_frames, self.clip.stride)
        starts = even_starts(self.clip.test_clips, span, available)
        indices = [indices_from(start, self.clip.num_frames, self.clip.stride, available) for start in starts]
        distinct, places = np.unique(indices, return_inverse=True)
        pixels, whole = read_clip(
            self.frames,
            video,
            distinct,
            lambda *size: full_frame(*size, self.clip.test_side),
            int16_resizer,
            empty_shared,
        )
        return VideoViews(
            frames=pixels,
            places=torch.from_numpy(places.reshape(len(starts), -1)),
            crops=crops_along(whole, self.clip.test_crops),
            target=torch.from_numpy(label_union(self.videos.segments_of(row), 0, available - 1)),
            row=torch.tensor(row),
        )


def training_set(run):
    """Return the training clips of a run; items are (epoch, row)."""
    return CharadesClips(read_list(run.data.train), FrameArchive(run.data.frames), run.clip, run.seed, False)


def validation_set(run):
    """Return the clips validated during training: a random clip and crop, all actions of the video, as published."""
    return CharadesValidationClips(read_list(run.data.test), FrameArchive(run.data.frames), run.clip, run.seed, True)


def test_set(run):
    """Return the test videos, with all views of each."""
    return CharadesTestVideos(read_list(run.data.test), FrameArchive(run.data.frames), run.clip)


class CharadesHead(nn.Module):
    """Score the actions of a clip: average over windows of the training clip's size, linear.

    ``window`` is (T', H', W') of the features of a training clip. Larger features leave a grid of scores: logits are
    averaged over it in training, probabilities in evaluation (SlowFast's fully convolutional inference).
    """

    def __init__(self, channels: int, classes: int, dropout: float, window: tuple[int, int, int]):
        super().__init__()
        self.window = window
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(channels, classes)

    def forward(self, features: Tensor, boxes: None = None) -> Tensor:
        """Return (B, classes) of (B, C, T', H', W') features: logits in training, probabilities in evaluation."""
        grid = avg_pool3d(features, self.window, stride=1).permute(0, 2, 3, 4, 1)  # channels last, for the linear
        logits = self.projection(self.dropout(grid))
        return (logits if self.training else logits.sigmoid()).mean((1, 2, 3))


loss = nn.functional.binary_cross_entropy_with_logits  # actions do not exclude each other


def build_head(run, backbone: Backbone) -> CharadesHead:
    """Return the head for features of ``backbone``, whose window is the features of a training clip."""
    side = ceil(run.clip.crop / backbone.space_stride)
    window = (ceil(run.clip.num_frames / backbone.time_stride), side, side)
    return CharadesHead(backbone.channels, DATASETS["charades"].num_classes, run.model.dropout, window)


def predict_validation(model, run, group):
    """Score one clip of every video; returns arrays as ``predict_test`` does."""
    clips = validation_set(run)

    def score(batch):
        return {"row": batch.rows, "target": batch.targets, "score": probabilities(model, batch.clips, run)}

    predictions = run_inference(evaluation_loader(clips, run, group.rank), score, model, group)
    return predictions | {"video": clips.videos.names[predictions["row"]]}


def predict_test(model, run, group):
    """Score every video: the element-wise maximum over all its clips and crops.

    Returns arrays with a row per video, in list order: row, video, target (N, classes), score (N, classes).
    """
    videos = test_set(run)
    at_once = run.training.batch_size // run.training.micro_batches

    def score(views):
        chunks = [probabilities(model, clips, run) for clips in views.clips(at_once)]
        return {"row": views.row[None], "target": views.target[None], "score": torch.cat(chunks)[None]}

    predictions = run_inference(video_loader(videos, run, group.rank), score, model, group)
    predictions["score"] = predictions["score"].max(axis=1)  # (videos, views, classes)
    return predictions | {"video": videos.videos.names[predictions["row"]]}
