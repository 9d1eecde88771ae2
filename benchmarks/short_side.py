"""What `ava: short_side: 320` changes: the pixels that the network sees, the loader's time and the disk.

    python -m benchmarks.short_side

A film of 1280x720 is extracted at native size and at short side 320. The same crops of the same frames are then read
from both archives: training crops with short sides of 256 to 320 pixels, and test clips of 112. Differences are in gray
levels of 0 to 255. The film is drawn (a zoom into the Mandelbrot set, with grain), so take them as an order of size.
"""

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.prepare_films import run_ffmpeg
from trainer.cli import command_parser
from trainer.data.clips import indices_around, read_clip
from trainer.data.frame_archive import FrameArchive
from trainer.data.transforms import full_frame
from workflow.lib.film import ffmpeg_version
from workflow.lib.frames_list import frames_in_archives, write_frames_list
from workflow.scripts.extract_frames import extract_frames

SECONDS, FPS = 12, 30
SIDES = {"native": None, "320": 320}


def main():
    parser = command_parser("benchmarks.short_side", __doc__)
    parser.add_argument("--clips", type=int, default=12, help="clips of each kind (default 12)")
    clips = parser.parse_args().clips
    with tempfile.TemporaryDirectory() as folder:
        archives = {name: extract(Path(folder), name, side) for name, side in SIDES.items()}
        sizes = {name: (Path(folder) / name / "film.tar").stat().st_size for name in SIDES}
        print(f"{SECONDS} s of 1280x720, H.264; ffmpeg {ffmpeg_version()}; {clips} clips of each kind\n")
        print(f"disk: 1/{sizes['native'] / sizes['320']:.1f}")
        for kind, crop_of in {"training": training_crop, "test": test_crop}.items():
            compare(kind, archives, crop_of, clips)


def extract(folder, name, side):
    """Return the frames of one film, in their own archive."""
    film = folder / "film.mkv"
    if not film.exists():
        picture = f"mandelbrot=size=1280x720:rate={FPS}:end_pts=600,noise=alls=4:allf=t"
        run_ffmpeg("-f", "lavfi", "-i", picture, "-t", SECONDS, "-c:v", "libx264", "-pix_fmt", "yuv420p", film)
    outputs = [folder / name / f"film{suffix}" for suffix in (".tar", ".npy", ".json")]
    extract_frames(film, *outputs, start=0, stop=SECONDS, short_side=side, threads=2)
    write_frames_list(folder / name / "frames.csv", frames_in_archives(outputs[:1], outputs[1:2]))
    return FrameArchive(folder / name / "frames.csv")


def training_crop(number):
    """Return the crop of a training clip, at the same place in frames of either size: aspects differ by rounding."""
    rng = np.random.default_rng(number)
    short, top, left = int(rng.integers(256, 321)), rng.random(), rng.random()

    def crop_of(height, width):
        whole = full_frame(height, width, short)
        place = {"top": int(top * (short - 112)), "left": int(left * (1.77 * short - 112))}
        return replace(whole, crop=(112, 112), **place)

    return crop_of


def test_crop(_):
    return partial(full_frame, short=112)


def compare(kind, archives, crop_of, clips):
    """Print how clips of the two archives differ, and how much faster the smaller frames are read."""
    pixels, seconds = {}, {}
    for name, archive in archives.items():
        began = time.process_time()
        centers = np.linspace(40, SECONDS * FPS - 40, clips).astype(int)
        pixels[name] = [
            read_clip(archive, "film", indices_around(center, 32, 2, SECONDS * FPS), crop_of(number))[0]
            for number, center in enumerate(centers)
        ]
        seconds[name] = time.process_time() - began
    # at another size of frames, rounding may make the long side of the clip one pixel longer
    pairs = [
        (one[:, :, : other.shape[2]].astype(float), other[:, :, : one.shape[2]].astype(float))
        for one, other in zip(*pixels.values(), strict=True)
    ]
    errors = [one - other for one, other in pairs]
    mean = np.mean([np.abs(error).mean() for error in errors])
    psnr = 10 * np.log10(255**2 / np.mean([np.square(error).mean() for error in errors]))
    faster = seconds["native"] / seconds["320"]
    print(f"{kind} clips: mean difference {mean:.2f} of 255, PSNR {psnr:.1f} dB; {faster:.1f}x faster to read")


if __name__ == "__main__":
    main()
