"""Films whose frames show their own number, for tests of cutting and extraction."""

import subprocess
from fractions import Fraction

import numpy as np

from workflow.lib.film import ffmpeg_binary

WIDTH, HEIGHT, BLOCK = 128, 64, 16
BITS = 16  # of the number, black or white blocks in the upper two rows; the rest of the frame moves


def draw_frame(number) -> np.ndarray:
    """Return a gray frame with ``number`` in blocks."""
    gray = np.full((HEIGHT, WIDTH), 128, np.uint8)
    for bit in range(BITS):
        y, x = divmod(bit, WIDTH // BLOCK)
        gray[y * BLOCK : (y + 1) * BLOCK, x * BLOCK : (x + 1) * BLOCK] = 235 if number >> bit & 1 else 16
    x = 3 * number % WIDTH
    gray[2 * BLOCK :, x : x + 8] = 200
    return gray


def number_in(gray) -> int:
    """Read the number back from a frame of any size."""
    scale = gray.shape[1] / WIDTH
    number = 0
    for bit in range(BITS):
        y, x = divmod(bit, WIDTH // BLOCK)
        number |= int(gray[int((y + 0.5) * BLOCK * scale), int((x + 0.5) * BLOCK * scale)] > 128) << bit
    return number


X264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "60", "-crf", "18")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "60", "-b:v", "600k")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "60", "-b:v", "600k")
RATES = ("24000/1001", "25", "30000/1001", "30")  # as films have
CONTAINERS = ((".mkv", X264), (".mp4", X264), (".webm", VP9))
AUDIO = {".mp4": "aac", ".mkv": "libvorbis", ".webm": "libopus"}


def make_film(path, rate, seconds, *, codec=X264, audio=True, options=()):
    """Write a film whose frame k is shown from second k / rate on; ``options`` precede the output's name."""
    rate = Fraction(rate)
    frames = b"".join(draw_frame(k).tobytes() for k in range(int(seconds * rate)))
    sound = ["-f", "lavfi", "-i", f"sine=d={seconds}", "-c:a", AUDIO[path.suffix]] if audio else []
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", *sound[:4]]
    command += ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(rate), "-i", "pipe:"]
    command += [*sound[4:], *codec, "-pix_fmt", "yuv420p", *options, f"file:{path}"]
    subprocess.run(command, input=frames, check=True)
    return path
