"""Film preparation, the published commands against ours: the same generated film, the same cores, one run.

    python -m benchmarks.prepare_films                        # films of 5 minutes, about three minutes
    python -m benchmarks.prepare_films --minutes 32           # as long as AVA's windows need; about 20 minutes
    python -m benchmarks.prepare_films --minutes 32 --native  # without the film of 720p; about 5 minutes

The window is cut out of the film's middle in AVA's proportion: of 32 minutes, second 900 to 1801.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from trainer.cli import command_parser
from workflow.lib.film import ffmpeg_binary, ffmpeg_version
from workflow.scripts.cut_film import cut_film
from workflow.scripts.extract_frames import extract_frames


def main():
    parser = command_parser("benchmarks.prepare_films", __doc__)
    parser.add_argument("--minutes", type=float, default=5, help="length of the film (default 5)")
    parser.add_argument("--rate", default="25", help="frames per second of the film (default 25)")
    parser.add_argument("--native", action="store_true", help="only the film of 640x360, at native size")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="default: all of this process")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    start = round(900 * arguments.minutes / 32)
    stop = start + round(901 * arguments.minutes / 32)
    print(
        f"film of {arguments.minutes:g} min, {arguments.rate} per second, H.264, sound; window {start} to {stop} s, "
        f"{arguments.cores} cores; ffmpeg {ffmpeg_version()}\n"
    )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        film = arguments.minutes, arguments.rate, start, stop, arguments.cores
        rows = measure_native(Path(folder), *film)
        if not arguments.native:
            rows.append(measure_scaled(Path(folder), *film))
    print("| step | reference | ours | ratio | goal |\n| --- | --- | --- | --- | --- |")
    for step, reference, ours, unit, goal in rows:
        ratio = f"{reference / ours:.1f}x" if reference >= ours else f"1/{ours / reference:.1f}"
        print(f"| {step} | {reference:.2f}{unit} | {ours:.2f}{unit} | {ratio} | {goal} |")


def measure_native(folder, minutes, rate, start, stop, cores):
    """Return rows (step, reference, ours, unit, goal); each step runs once, the film's file is in the page cache."""
    (cut, frames, files), ours = both_ways(folder / "native", "640x360", None, minutes, rate, start, stop, cores)
    own_cut, own_frames, own_files = ours
    per_thousand = 1000 / ((stop - start) * 30)
    return [
        ("cut", cut, own_cut, " s", "150x"),
        ("cut + frames, native size", cut + frames, own_cut + own_frames, " s", "4x"),
        ("files on disk per 1,000 frames", files * per_thousand, own_files * per_thousand, "", "500x"),
    ]


def measure_scaled(folder, minutes, rate, start, stop, cores):
    """Return the row of frames that are scaled down on the way; the published pipeline keeps the film's size."""
    (cut, frames, _), ours = both_ways(folder / "scaled", "1280x720", 320, minutes, rate, start, stop, cores)
    return "cut + frames, short side 320, from 720p", cut + frames, ours[0] + ours[1], " s", "6x"


def both_ways(folder, size, short_side, minutes, rate, start, stop, cores):
    """Return (s of the cut, s of the frames, files they leave) of the published commands and of ours."""
    folder.mkdir()
    film = make_film(folder / "film.mkv", size, minutes, rate)
    (folder / "loose").mkdir()
    cut = folder / "published.mkv"
    published = (
        seconds(run_ffmpeg, "-ss", start, "-t", stop - start, "-i", film, cut),
        seconds(run_ffmpeg, "-i", cut, "-r", 30, "-q:v", 1, folder / "loose/%06d.jpg"),
        1 + len(list((folder / "loose").iterdir())),
    )
    outputs = [folder / f"film{suffix}" for suffix in (".tar", ".npy", ".json")]
    settings = {"start": start, "stop": stop, "short_side": short_side, "threads": cores}
    ours = (
        seconds(cut_film, film, folder / "cut.nut", start, stop),
        seconds(extract_frames, folder / "cut.nut", *outputs, **settings),
        1 + len(outputs),
    )
    return published, ours


def make_film(path, size, minutes, rate):
    """Draw moving shapes with some grain: about as many bits per picture as real films have."""
    picture = f"testsrc2=size={size}:rate={rate}:duration={60 * minutes},noise=alls=6:allf=t"
    sound = f"sine=duration={60 * minutes}"
    codec = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "libvorbis"]
    run_ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codec, path)
    return path


def run_ffmpeg(*arguments):
    subprocess.run([ffmpeg_binary(), "-nostdin", "-loglevel", "error", *map(str, arguments)], check=True)


def seconds(function, *arguments, **settings) -> float:
    began = time.monotonic()
    function(*arguments, **settings)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
