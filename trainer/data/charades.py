"""Charades: from frame lists to the list of a run, and from the list to clips.

Actions 0..156 are labelled frame by frame. A frame list has a row per frame; ours has a row per video, with runs: an
action, and the first and last frame (0-based) of a stretch that shows it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from trainer.config import CLASSES
from trainer.data.batch import Sample
from trainer.data.clips import read_clip
from trainer.data.transforms import crops_along, float32_resizer, random_view, whole_view
from trainer.errors import InputError
from trainer.frames import FrameArchive

COLUMNS = ["video", "frames", "labels"]
ACTIONS = CLASSES["charades"]
HEADER = "original_vido_id video_id frame_id path labels"  # the spelling is the published files'

# From frame lists to a list -------------------------------------------------------------------------------------------


@dataclass
class VideoLabels:
    """A video as its frame list describes it."""

    video: str
    frames: int
    runs: list[tuple[int, int, int]]  # action, first frame, last frame; sorted

    def row(self):
        """The video's row of a list, see COLUMNS."""
        return self.video, self.frames, " ".join(f"{action}:{first}-{last}" for action, first, last in self.runs)


def read_frame_list(path):
    """Yield the VideoLabels of a frame list, in its order; only one video is in memory at a time.

    Raises InputError with file and line for a row that has not five columns, a frame out of order, a video in two
    places, and an action outside 0..156.
    """
    path = Path(path)
    with path.open() as lines:
        first_line = next(lines, "").strip()
        if first_line.startswith("<"):
            raise InputError(f"{path}: this is an HTML page, not a frame list; delete it and fetch it again")
        if first_line != HEADER:
            raise InputError(f"{path}, line 1: the header must be {HEADER!r}, not {first_line[:80]!r}")
        seen, reader = set(), None
        for number, line in enumerate(lines, start=2):
            try:
                video, _, frame, image, labels = line.split()
                if reader is None or video != reader.video:
                    if reader:
                        yield reader.finish()
                    if video in seen:
                        raise ValueError(f"the rows of {video} are not together")
                    seen.add(video)
                    reader = _RunReader(video)
                reader.add(int(frame), image, labels)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {_trouble(line, error)}") from error
        if reader:
            yield reader.finish()


class _RunReader:
    """Gathers the rows of one video into runs."""

    def __init__(self, video):
        self.video, self.frames, self.runs = video, 0, []
        self.labels, self.begun = '""', {}  # of the last row; action: its first frame

    def add(self, frame, image, labels):
        if frame != self.frames or not image.endswith(f"{self.video}-{frame + 1:06d}.jpg"):
            raise ValueError(f"expected frame {self.frames} of {self.video}, {self.video}-{self.frames + 1:06d}.jpg")
        if labels != self.labels:
            actions = _actions(labels)
            for action in self.begun.keys() - actions:
                self.runs.append((action, self.begun.pop(action), frame - 1))
            for action in actions - self.begun.keys():
                self.begun[action] = frame
            self.labels = labels
        self.frames += 1

    def finish(self):
        self.runs += [(action, first, self.frames - 1) for action, first in self.begun.items()]
        return VideoLabels(self.video, self.frames, sorted(self.runs))


def _actions(labels):
    """The actions of a field such as "59,147", quotes included."""
    actions = {int(text) for text in labels.strip('"').split(",") if text}
    if not all(0 <= action < ACTIONS for action in actions):
        raise ValueError(f"labels {labels} are not all in 0..{ACTIONS - 1}")
    return actions


def _trouble(line, error):
    columns = len(line.split())
    if columns != 5:
        return f"{columns} columns instead of 5 ({HEADER})"
    return f"{error}; the row is {line.strip()}"


# From the list to clips -----------------------------------------------------------------------------------------------


@dataclass
class Videos:
    """A list in memory, as arrays, which loader processes share without copying.

    The runs of video v are rows ``first_run[v]`` to ``first_run[v + 1]`` of ``runs``.
    """

    names: np.ndarray  # (V,)
    frames: np.ndarray  # (V,) how many frames the list counts, which the archive may exceed
    first_run: np.ndarray  # (V + 1,)
    runs: np.ndarray  # (R, 3) action, first frame, last frame

    def __len__(self):
        return len(self.names)

    def runs_of(self, video):
        return self.runs[self.first_run[video] : self.first_run[video + 1]]


def read_list(path):
    """Read a charades list."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such list; the rule list_charades makes it")
    rows = pd.read_csv(path, dtype={"video": str, "labels": str}, keep_default_na=False)
    if list(rows.columns) != COLUMNS:
        raise InputError(f"{path}: its columns must be {','.join(COLUMNS)}")
    if rows.empty:
        raise InputError(f"{path}: no video in it")
    runs = [[parse_run(text) for text in labels.split()] for labels in rows.labels]
    return Videos(
        names=rows.video.to_numpy(str),
        frames=rows.frames.to_numpy(),
        first_run=np.cumsum([0, *map(len, runs)]),
        runs=np.array([run for of_video in runs for run in of_video], int).reshape(-1, 3),
    )


def parse_run(text):
    """ "92:285-509" as (92, 285, 509)."""
    action, _, stretch = text.partition(":")
    first, _, last = stretch.partition("-")
    return int(action), int(first), int(last)


def label_union(runs, first, last):
    """The actions seen anywhere in frames ``first`` to ``last``, both included: (ACTIONS,) float32 of 0 and 1."""
    target = np.zeros(ACTIONS, np.float32)
    target[runs[(runs[:, 1] <= last) & (runs[:, 2] >= first), 0]] = 1
    return target


def clip_span(frames, stride):
    """How many frames a clip reaches over: 249 for 32 frames, stride 8."""
    return (frames - 1) * stride + 1


def clip_indices(start, frames, stride, available):
    """Frame indices from ``start`` on; those outside the video are moved to its first or last frame."""
    return np.clip(start + stride * np.arange(frames), 0, available - 1)


def random_start(rng, span, available):
    """Uniform over the starts that keep the clip in the video, or, in a shorter video, the video in the clip."""
    room = available - span
    return int(rng.integers(min(room, 0), max(room, 0), endpoint=True))


def even_starts(clips, span, available):
    """Starts of ``clips`` clips spread evenly over the video, rounded half to even."""
    room = max(available - span, 0)
    return [round(room / (clips - 1) * k) for k in range(clips)] if clips > 1 else [round(room / 2)]


class CharadesClips(Dataset):
    """One random clip of each video, under a random view, as training and validation during training see it.

    An item is (epoch, row): its draws depend on them and the seed, on nothing else. ``whole_labels``: the target holds
    the actions of the whole video, not only those from the clip's first to its last frame.
    """

    def __init__(self, videos, frames, clip, seed, whole_labels):
        self.videos, self.frames, self.clip = videos, frames, clip
        self.seed, self.whole_labels = seed, whole_labels

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, item) -> Sample:
        epoch, row = item
        rng = np.random.default_rng([self.seed, epoch, row])
        video, available = str(self.videos.names[row]), int(self.videos.frames[row])
        start = random_start(rng, clip_span(self.clip.frames, self.clip.stride), available)
        indices = clip_indices(start, self.clip.frames, self.clip.stride, available)
        labelled = (0, available - 1) if self.whole_labels else (indices[0], indices[-1])
        target = label_union(self.videos.runs_of(row), *labelled)
        pixels, _ = read_clip(
            self.frames,
            video,
            indices,
            lambda *size: random_view(rng, *size, self.clip.jitter, self.clip.crop),
            float32_resizer,
        )
        name = f"{video} from frame {indices[0]}"
        return Sample(torch.from_numpy(pixels), torch.from_numpy(target)[None], name, row)


class CharadesValidationClips(CharadesClips):
    """The same draws at every validation, so that its scores can be compared. An item is a row."""

    def __getitem__(self, row) -> Sample:
        return super().__getitem__((0, row))

    def sizes(self):
        """All clips are crops of one size."""
        return [self.clip.crop] * len(self)


@dataclass
class VideoViews:
    """The frames of all test views of a video, each of them once."""

    frames: torch.Tensor  # (n, height, width, 3) RGB float32 0..255, the short side resized
    places: torch.Tensor  # (clips, T) which of the frames make each clip
    crops: list  # View of each crop
    target: torch.Tensor  # (ACTIONS,) float32, the actions of the whole video
    name: str
    row: int

    def to(self, device):
        self.frames = self.frames.to(device, non_blocking=True)
        self.places = self.places.to(device, non_blocking=True)
        return self

    def pin_memory(self):
        self.frames = self.frames.pin_memory()
        return self

    def clips(self, chunk):
        """Yield all views, crop by crop, in chunks of at most ``chunk`` clips: (k, 3, T, side, side).

        Each overwrites the one before: on a CPU, fresh memory costs more than copying the pixels.
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

    def __getitem__(self, row) -> VideoViews:
        video, available = str(self.videos.names[row]), int(self.videos.frames[row])
        span = clip_span(self.clip.frames, self.clip.stride)
        starts = even_starts(self.clip.test_clips, span, available)
        indices = [clip_indices(start, self.clip.frames, self.clip.stride, available) for start in starts]
        distinct, places = np.unique(indices, return_inverse=True)
        pixels, view = read_clip(
            self.frames, video, distinct, lambda *size: whole_view(*size, self.clip.crop), float32_resizer
        )
        return VideoViews(
            frames=torch.from_numpy(pixels),
            places=torch.from_numpy(places.reshape(len(starts), -1)),
            crops=crops_along(view, self.clip.test_crops),
            target=torch.from_numpy(label_union(self.videos.runs_of(row), 0, available - 1)),
            name=video,
            row=row,
        )


def training_set(run):
    """The training clips of a run; items are (epoch, row)."""
    return CharadesClips(read_list(run.data.train), FrameArchive(run.data.frames), run.clip, run.seed, False)


def validation_set(run):
    """What training is watched by: as published, a random clip under a random view, with the whole video's actions."""
    return CharadesValidationClips(read_list(run.data.test), FrameArchive(run.data.frames), run.clip, run.seed, True)


def test_set(run):
    """What the result is scored on: all views of each video."""
    return CharadesTestVideos(read_list(run.data.test), FrameArchive(run.data.frames), run.clip)
