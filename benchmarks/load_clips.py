"""Time the loader against the published pipeline and against decoding alone, on one core.

    python -m benchmarks.load_clips

The published pipeline reads loose files, decodes whole frames by OpenCV, resizes whole frames (AVA: uint8, OpenCV;
Charades: float, PyTorch), then crops, and in testing does so for each of 30 views. Rounds of the three alternate, and
processor time is counted, so that a busy machine changes little; the ratios are medians over rounds. A loader has its
process to itself: each is called twice in a row and counted once, so that none pays for memory that another gave back.
"""

import csv
import itertools
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import simplejpeg
import torch
import torchvision
from torch.nn.functional import interpolate

from benchmarks.runs import recipe_run
from trainer.cli import command_parser
from trainer.data.ava_lists import NUM_ACTIONS, KeyFrames
from trainer.data.charades_lists import Videos
from trainer.data.clips import indices_around, indices_from
from trainer.data.frame_archive import FrameArchive, write_index
from trainer.data.transforms import crops_along, full_frame, random_crop
from trainer.tasks import ava, charades
from trainer.utils.environment import processor
from workflow.lib.tar_index import index_tar

MEAN, STD = 0.45, 0.225
AVA, CHARADES = (recipe_run(dataset, torch.device("cpu")).clip for dataset in ("ava", "charades"))
FRAMES = 720


@dataclass
class Case:
    """One row of the table; each function takes the number of the round."""

    name: str
    goal: str
    ours: callable
    published: callable
    frames: callable  # which frames `ours` decodes, for decoding alone


def main():
    parser = command_parser("benchmarks.load_clips", __doc__)
    parser.add_argument("--rounds", type=int, default=24, help="rounds of each clip (of the 30 views: a quarter)")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        film = Video(Path(folder, "film"), 640, 360, quality=1)
        small = Video(Path(folder, "small"), 320, 180, quality=3)  # as Charades_v1_rgb.tar has them
        print_conditions(film, small)
        compare_decoders(film, rounds)
        print(f"{'':42} {'ours':>9} {'published':>10} {'decoding':>9} {'faster':>7} {'over decoding':>14}   goal")
        of_one_clip = ((ava_training, film), (ava_test, film), (charades_training, film), (charades_training, small))
        for make, video in of_one_clip:
            measure(make(video), video, rounds)
        for video in (film, small):
            for case in charades_test(video):
                measure(case, video, max(rounds // 4, 1))


# The frames -----------------------------------------------------------------------------------------------------------


class Video:
    """720 frames, those of 640x360 at AVA's mean size, 48 KB each: loose, and in an archive."""

    def __init__(self, folder, width, height, quality):
        self.shape = height, width
        self.loose = folder / "loose"
        self.loose.mkdir(parents=True)
        make_frames(self.loose, width, height, quality)
        self.paths = sorted(self.loose.glob("*.jpg"))
        self.jpegs = [path.read_bytes() for path in self.paths]
        with tarfile.open(folder / "film.tar", "w") as tar:
            for path in self.paths:
                tar.add(path, path.name)
        index = [(offset, size) for _, offset, size in index_tar(folder / "film.tar")]
        write_index(folder / "film.npy", index)
        with (folder / "frames.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["video", "frames", "archive", "index", "first"])
            writer.writerow(["film", FRAMES, folder / "film.tar", folder / "film.npy", 0])
        self.archive = FrameArchive(folder / "frames.csv")

    def __str__(self):
        return "{1}x{0}".format(*self.shape)


def make_frames(folder, width, height, quality):
    """Draw a zoom with a little film grain, in 4:2:0 as films are."""
    picture = f"mandelbrot=size={width}x{height}:rate=30,noise=alls=2:allf=t,format=yuvj420p"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", picture]
    command += ["-frames:v", str(FRAMES), "-q:v", str(quality), str(folder / "film_%06d.jpg")]
    subprocess.run(command, check=True)


# Ours against the published -------------------------------------------------------------------------------------------


def ava_training(video):
    table = key_frames()
    ours = ava.AvaTrainingClips(table, video.archive, AVA, seed=0)

    def frames(number):
        return indices_around(table.centers[number % len(table)], AVA.num_frames, AVA.stride, FRAMES)

    def published(number):
        geometry = random_crop(
            np.random.default_rng([0, number, number % len(table)]), *video.shape, AVA.short_side_range, AVA.crop
        )
        return published_ava(video, frames(number), geometry)  # the crop that ours shows

    goal = "2.5x faster, 1.3x decoding"
    return Case(
        f"AVA training clip, {video}", goal, lambda number: ours[number, number % len(table)], published, frames
    )


def ava_test(video):
    table = key_frames()
    ours = ava.AvaClips(table, video.archive, AVA, partial(full_frame, short=AVA.crop))
    frames = ava_training(video).frames

    def published(number):
        return published_ava(video, frames(number), full_frame(*video.shape, AVA.crop))

    return Case(f"AVA test clip, {video}", "1.2x decoding", lambda number: ours[number % len(table)], published, frames)


def charades_training(video):
    ours = charades.CharadesClips(videos(), video.archive, CHARADES, seed=0, whole_labels=False)

    def frames(number):
        return indices_from(number % 400, CHARADES.num_frames, CHARADES.stride, FRAMES)

    def published(number):
        geometry = random_crop(np.random.default_rng(number), *video.shape, CHARADES.short_side_range, CHARADES.crop)
        return published_charades(video, frames(number), geometry)

    return Case(f"Charades training clip, {video}", "8x faster", lambda number: ours[number, 0], published, frames)


def charades_test(video):
    ours = charades.CharadesTestVideos(videos(), video.archive, CHARADES)
    span = charades.clip_span(CHARADES.num_frames, CHARADES.stride)
    starts = charades.even_starts(CHARADES.test_clips, span, FRAMES)
    clips = [indices_from(start, CHARADES.num_frames, CHARADES.stride, FRAMES) for start in starts]

    def load(_):
        return ours[0]

    def load_and_cut(number):
        for _clips in load(number).clips(5):
            pass

    def published(_):
        whole = full_frame(*video.shape, CHARADES.crop)
        crops = crops_along(whole, CHARADES.test_crops)
        for view in itertools.product(clips, crops):
            published_charades(video, *view)

    def frames(_):
        return np.unique(clips)

    name, goal = f"Charades, 30 views of 720 frames, {video}", "20x faster"
    return [
        Case(name, f"{goal}, 1.5x decoding", load, published, frames),
        Case("the same, views cut on the CPU, too", goal, load_and_cut, published, frames),
    ]


def key_frames(count=8):
    """Return key frames of three boxes, spread over the film."""
    centers = np.linspace(60, FRAMES - 60, count).astype(int)
    boxes = np.tile([0.1, 0.2, 0.5, 0.9], (3 * count, 1))
    targets, scores = np.zeros((3 * count, NUM_ACTIONS), np.uint8), np.full(3 * count, np.nan, np.float32)
    first = np.arange(0, 3 * count + 1, 3)
    return KeyFrames(np.full(count, "film"), centers // 30, centers, first, boxes, targets, scores)


def videos():
    return Videos(np.array(["film"]), np.array([FRAMES]), np.array([0, 1]), np.array([[5, 0, 300]]))


def read_published(video, indices):
    """Return BGR frames of loose files."""
    return [cv2.imdecode(np.frombuffer(video.paths[i].read_bytes(), np.uint8), cv2.IMREAD_COLOR) for i in indices]


def published_ava(video, indices, geometry):
    """Return RGB pixels, step by step over all frames, each step keeping its whole list, as the published code does."""
    frames = read_published(video, indices)
    frames = [cv2.resize(f, geometry.resized[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32) for f in frames]
    frames = [
        f[geometry.top : geometry.top + geometry.crop[0], geometry.left : geometry.left + geometry.crop[1]]
        for f in frames
    ]
    if geometry.flip:
        frames = [cv2.flip(f, 1) for f in frames]
    frames = [f.transpose(2, 0, 1) / 255.0 for f in frames]
    frames = [np.ascontiguousarray(f).astype(np.float32) for f in frames]
    frames = [(f - np.float32(MEAN)) / np.float32(STD) for f in frames]
    return torch.from_numpy(np.ascontiguousarray(np.stack(frames, axis=1)[::-1]))


def published_charades(video, indices, geometry):
    """Return RGB pixels: whole frames scaled and normalized, resized as float, then cropped and mirrored."""
    frames = torch.from_numpy(np.stack(read_published(video, indices)))
    clip = ((frames.float() / 255 - MEAN) / STD).permute(3, 0, 1, 2)
    clip = interpolate(clip, geometry.resized, mode="bilinear", align_corners=False)
    clip = clip[:, :, geometry.top : geometry.top + geometry.crop[0], geometry.left : geometry.left + geometry.crop[1]]
    return (clip.flip(-1) if geometry.flip else clip)[[2, 1, 0]]


# Timing ---------------------------------------------------------------------------------------------------------------


def measure(case, video, rounds):
    def decode(number):
        for i in case.frames(number):
            simplejpeg.decode_jpeg(video.jpegs[i])

    columns = {"ours": case.ours, "published": case.published, "decoding": decode}
    times = {name: [] for name in columns}
    for number in range(rounds + 1):
        for name, work in columns.items():
            times[name].append(seconds(work, number))
    ours, published, decoding = (series[1:] for series in times.values())  # the first round warms up
    faster, over = ratio(published, ours), ratio(ours, decoding)
    milliseconds = [f"{statistics.median(series) * 1e3:.1f} ms" for series in (ours, published, decoding)]
    widths = "{:42} {:>9} {:>10} {:>9} {:>6.1f}x {:>13.2f}x   {}"
    print(widths.format(case.name, *milliseconds, faster, over, case.goal), flush=True)


def compare_decoders(video, rounds):
    """Compare decoding alone with OpenCV: the same pixels, and how fast."""
    sample = video.jpegs[:32]
    as_tensor = [torch.frombuffer(bytearray(jpeg), dtype=torch.uint8) for jpeg in sample]
    decoders = {
        "OpenCV": lambda i: cv2.imdecode(np.frombuffer(sample[i], np.uint8), cv2.IMREAD_COLOR)[..., ::-1],
        "simplejpeg": lambda i: simplejpeg.decode_jpeg(sample[i]),
        "torchvision": lambda i: torchvision.io.decode_jpeg(as_tensor[i]).permute(1, 2, 0).numpy(),
    }
    expected = [decoders["OpenCV"](i) for i in range(32)]
    times = {name: [] for name in decoders}
    for _ in range(rounds + 1):
        for name, decode in decoders.items():
            times[name].append(seconds(lambda _, decode=decode: [decode(i) for i in range(32)], 0))
    for name, decode in decoders.items():
        same = all(np.array_equal(decode(i), pixels) for i, pixels in enumerate(expected))
        pixels = "OpenCV's pixels" if same else "other pixels"
        print(f"decoding by {name:12} {statistics.median(times[name][1:]) / 32 * 1e3:6.3f} ms a frame, {pixels}")
    print()


def seconds(work, number):
    work(number)
    began = time.process_time()
    work(number)
    return time.process_time() - began


def ratio(numerators, denominators):
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def print_conditions(*videos):
    print(f"{processor()}, {os.cpu_count()} cores, one thread; load {os.getloadavg()[0]:.1f} at the start")
    print(f"OpenCV {cv2.__version__}, PyTorch {torch.__version__}, simplejpeg {simplejpeg.__version__}")
    for video in videos:
        size = sum(map(len, video.jpegs)) / FRAMES / 1e3
        print(f"{FRAMES} frames {video}, 4:2:0, {size:.1f} KB on average")
    print()


if __name__ == "__main__":
    main()
