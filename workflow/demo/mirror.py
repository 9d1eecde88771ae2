"""Build a small mirror of the upstream files, which the demo downloads: same formats and names, generated content.

It holds films, AVA's annotations, Charades' frames and lists, and a checkpoint of every method. The seed determines all
content. Formats are those published by AVA, SlowFast (lists, boxes) and the methods' authors.
"""

import contextlib
import io
import itertools
import logging
import shutil
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import simplejpeg

from trainer.utils.errors import InputError
from trainer.utils.files import atomic_write
from workflow.demo.checkpoints import FILES, write_checkpoint
from workflow.demo.films import FILMS
from workflow.demo.pretraining import pretrained_backbones
from workflow.demo.scenes import Appearance, Scene, draw_background

log = logging.getLogger(__name__)

# --- AVA: films and annotations ---------------------------------------------------------------------------------------

FILM_SECONDS = 22
WINDOW = (4, 17)  # s, annotated; the film continues on both sides, as around 900-1801 of real films
KEY_SECONDS = range(WINDOW[0] + 2, WINDOW[1] - 2)  # as 902..1798
# The two protocols of AVA differ on people who are detected twice and on seconds without ground truth: both occur.
DETECTED_TWICE = 0.2  # fraction of the people in validation films

VIDEO_CODECS = {
    "h264": {"vcodec": "libx264", "preset": "veryfast", "crf": 20, "bf": 2, "g": 50},
    "vp9": {"vcodec": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8, "video_bitrate": "300k", "g": 50},
}
CONTAINERS = {  # video and audio codec, as the films of AVA have them
    ".mkv": ("h264", "libopus"),
    ".mp4": ("h264", "aac"),
    ".webm": ("vp9", "libopus"),
}

ACTION_IDS = {"stand": (12,), "walk": (14,), "run": (10,), "sit": (11,), "bend": (1,), "wave": (12, 69)}
WATCH_A_PERSON = 80  # an action of both people if there are two

# The scored classes of AVA v2.2, as in ActivityNet's label map.
LABEL_MAP = {
    1: "bend/bow (at the waist)",
    3: "crouch/kneel",
    4: "dance",
    5: "fall down",
    6: "get up",
    7: "jump/leap",
    8: "lie/sleep",
    9: "martial art",
    10: "run/jog",
    11: "sit",
    12: "stand",
    13: "swim",
    14: "walk",
    15: "answer phone",
    17: "carry/hold (an object)",
    20: "climb (e.g., a mountain)",
    22: "close (e.g., a door, a box)",
    24: "cut",
    26: "dress/put on clothing",
    27: "drink",
    28: "drive (e.g., a car, a truck)",
    29: "eat",
    30: "enter",
    34: "hit (an object)",
    36: "lift/pick up",
    37: "listen (e.g., to music)",
    38: "open (e.g., a window, a car door)",
    41: "play musical instrument",
    43: "point to (an object)",
    45: "pull (an object)",
    46: "push (an object)",
    47: "put down",
    48: "read",
    49: "ride (e.g., a bike, a car, a horse)",
    51: "sail boat",
    52: "shoot",
    54: "smoke",
    56: "take a photo",
    57: "text on/look at a cellphone",
    58: "throw",
    59: "touch (an object)",
    60: "turn (e.g., a screwdriver)",
    61: "watch (e.g., TV)",
    62: "work on a computer",
    63: "write",
    64: "fight/hit (a person)",
    65: "give/serve (an object) to (a person)",
    66: "grab (a person)",
    67: "hand clap",
    68: "hand shake",
    69: "hand wave",
    70: "hug (a person)",
    72: "kiss (a person)",
    73: "lift (a person)",
    74: "listen to (a person)",
    76: "push (another person)",
    77: "sing to (e.g., self, a person, a group)",
    78: "take (an object) from (a person)",
    79: "talk to (e.g., self, a person, a group)",
    80: "watch (a person)",
}


def film_scene(rng, number, film):
    """Return a scene of eight shots of about 3 s, with two people in one of them.

    ``number`` rotates the actions, so that the annotated seconds of both splits show every action. Shots change between
    whole seconds, which are the annotated ones.
    """
    cuts = [0.0, *(np.arange(1.5, FILM_SECONDS, 3) + rng.choice([-0.3, 0.0, 0.3], 7)), float(FILM_SECONDS)]
    actions = list(ACTION_IDS)
    shot_of_two = rng.integers(2, 5)  # a shot that lies within the window
    appearances = []
    for shot, (start, stop) in enumerate(itertools.pairwise(cuts)):
        action = number + shot
        places = (0.3, 0.7) if shot == shot_of_two else (0.5,)
        for person, x in enumerate(places):
            name = actions[(action + 2 * person) % len(actions)]
            appearances.append(Appearance(person, name, start, stop, x))
    background = draw_background(rng, film.width, film.height)
    return Scene(background, rng.uniform(0.75, 0.9), tuple(appearances))


def encode_film(scene, film, path):
    """Draw the frames of one film and encode them with sound."""
    video_codec, audio_codec = CONTAINERS[Path(film.name).suffix]
    height, width = scene.background.shape[:2]
    frames = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", r=film.rate)
    sound = ffmpeg.input("sine=frequency=330", format="lavfi", t=FILM_SECONDS)
    frame_count = int(FILM_SECONDS * Fraction(film.rate))
    with atomic_write(path) as partial:
        command = ffmpeg.output(
            frames,
            sound,
            str(partial),
            **VIDEO_CODECS[video_codec],
            acodec=audio_codec,
            audio_bitrate="32k",
            pix_fmt="yuv420p",
            output_ts_offset=film.first_timestamp,
            threads=1,
            # omit random identifiers and dates, so that the same seed gives the same file
            fflags="+bitexact",
            flags="+bitexact",
        ).global_args("-loglevel", "warning")
        process = command.run_async(cmd=imageio_ffmpeg.get_ffmpeg_exe(), pipe_stdin=True, overwrite_output=True)
        with contextlib.suppress(BrokenPipeError), process.stdin:  # if ffmpeg fails, see its exit status
            for number in range(frame_count):
                process.stdin.write(scene.draw(number / Fraction(film.rate)).tobytes())
        if process.wait() != 0:
            raise InputError(f"{path}: ffmpeg could not encode the film; see its message above")


def list_people(scene, second):
    """Return (person id, box, action ids) of each person at a key second."""
    seen = scene.at(second)
    together = (WATCH_A_PERSON,) if len(seen) > 1 else ()
    return [(one.person, scene.box(one, second), ACTION_IDS[one.action] + together) for one in seen]


def ava_row(film, second, box, *rest):
    """Format a row of an AVA file: seconds with four digits, fractions with three decimals."""
    return ",".join([film.video, f"{second:04d}", *(f"{edge:.3f}" for edge in box), *map(str, rest)])


def ground_truth_rows(film, scene):
    """Return rows of video, second, x1, y1, x2, y2, action, person: one for each action of each person, no header."""
    return [
        ava_row(film, second, box, action, person)
        for second in KEY_SECONDS
        if second != film.unannotated
        for person, box, actions in list_people(scene, second)
        for action in actions
    ]


def detection_rows(rng, film, scene):
    """Return rows of video, second, x1, y1, x2, y2, action or nothing, score, as of a person detector.

    Boxes are slightly displaced. A tenth of the people, and most false detections, score below 0.9. Detections of
    people in training films carry the person's actions. False detections, and all detections in validation films,
    carry none: an empty field, or -1 in some rows of the training file. Some people in validation films are detected
    twice.
    """
    rows = []
    for second in KEY_SECONDS:
        for _, box, actions in list_people(scene, second):
            labels = actions if film.split == "train" else ("",)
            for _ in range(1 + (film.split == "val" and rng.random() < DETECTED_TWICE)):
                score = rng.uniform(0.92, 1) if rng.random() < 0.9 else rng.uniform(0.3, 0.88)
                found = np.clip(box + rng.normal(0, 0.012, 4), 0, 1)
                rows += [ava_row(film, second, found, label, f"{score:.6f}") for label in labels]
        if rng.random() < 0.3:
            corner = rng.uniform(0, 0.6, 2)
            false = np.concatenate([corner, corner + rng.uniform(0.1, 0.4, 2)])
            label = rng.choice(["", "-1"]) if film.split == "train" else ""
            # Some false detections have a high score, which costs every method the same precision.
            score = rng.uniform(0.92, 0.95) if rng.random() < 0.15 else rng.uniform(0.05, 0.89)
            rows.append(ava_row(film, second, false, label, f"{score:.6f}"))
    return rows


def label_map_text():
    """Return the label map in ActivityNet's format."""
    return "".join(f'item {{\n  name: "{name}"\n  id: {number}\n}}\n' for number, name in LABEL_MAP.items())


def annotation_files(rng, scenes):
    """Return name and text of the used files of ava_annotations.tar, and of one that must not be confused with them.

    ``scenes`` maps each film of ``FILMS`` to its scene.
    """
    train = [film for film in FILMS if film.split == "train"]
    val = [film for film in FILMS if film.split == "val"]
    truth = {film: ground_truth_rows(film, scene) for film, scene in scenes.items()}
    found = {film: detection_rows(rng, film, scene) for film, scene in scenes.items()}

    def rows(table, films):
        return _lines(itertools.chain.from_iterable(table[film] for film in films))

    boxes = "person_box_67091280_iou90"
    return {
        "ava_train_v2.2.csv": rows(truth, train),
        "ava_val_v2.2.csv": rows(truth, val),
        "ava_val_excluded_timestamps_v2.2.csv": _lines(f"{film.video},{KEY_SECONDS[-1]:04d}" for film in val[:3]),
        "ava_action_list_v2.2_for_activitynet_2019.pbtxt": label_map_text(),
        f"{boxes}/ava_detection_train_boxes_and_labels_include_negative_v2.2.csv": rows(found, train),
        f"{boxes}/ava_detection_val_boxes_and_labels.csv": rows(found, val),
        # the published tar also holds looser detections under the same file name
        "person_box_67091280_iou75/ava_detection_val_boxes_and_labels.csv": rows(found, val[:1]),
    }


def _lines(rows):
    return "".join(f"{row}\n" for row in rows)


def write_annotations(files, path):
    """Write ava_annotations.tar from name and text of its files."""
    with atomic_write(path) as partial, tarfile.open(partial, "w") as archive:
        for name, text in files.items():
            add_bytes(archive, f"ava_annotations/{name}", text.encode())


def add_bytes(archive, name, content):
    """Append a member without date and owner, so that the same content gives the same tar."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


# --- Charades: frames and lists --------------------------------------------------------------------------------------

LIST_HEADER = "original_vido_id video_id frame_id path labels"  # misspelled so in the published files
CHARADES_RATE = 24
CHARADES_SIZES = ((128, 96), (120, 96), (96, 128), (112, 112))  # width, height; some phones are held upright
CHARADES_VIDEOS = {"train": 40, "val": 24, "unlisted": 2}  # the published tar holds videos that no list names
CHARADES_CLASSES = {"walk": 26, "run": 150, "sit": 59, "bend": 8, "wave": 106, "jump": 147, "stand": 92, "dance": 97}


@dataclass(frozen=True)
class Video:
    """One video of Charades."""

    name: str
    frames: int
    scene: Scene


def draw_videos(rng, count):
    """Return videos of 20 to 150 frames, shorter and longer than a clip of the demo; actions are equally frequent."""
    rounds = itertools.chain.from_iterable(rng.permutation(list(CHARADES_CLASSES)) for _ in itertools.count())
    return [draw_video(rng, list(itertools.islice(rounds, 1 + (number % 3 == 0)))) for number in range(count)]


def draw_video(rng, actions):
    """Return a video in which each of ``actions`` has its own place and time; the times may overlap."""
    name = "".join(rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), 5))
    frames = int(rng.integers(20, 151))
    appearances = []
    for person, action in enumerate(dict.fromkeys(actions)):
        length = rng.uniform(0.6, 0.9)
        start = rng.uniform(0, 1 - length)
        times = (round(edge * frames) / CHARADES_RATE for edge in (start, start + length))
        appearances.append(Appearance(person, str(action), *times, x=(person + 1) / (len(actions) + 1)))
    background = draw_background(rng, *CHARADES_SIZES[rng.integers(len(CHARADES_SIZES))])
    return Video(name, frames, Scene(background, rng.uniform(0.85, 0.95), tuple(appearances)))


def write_charades_tar(videos, path):
    """Write Charades_v1_rgb.tar: a folder for each video, JPEGs numbered from 1, sorted by name."""
    with atomic_write(path) as partial, tarfile.open(partial, "w") as archive:
        for video in sorted(videos, key=lambda video: video.name):
            for frame in range(video.frames):
                picture = video.scene.draw(frame / CHARADES_RATE)
                jpeg = simplejpeg.encode_jpeg(picture, quality=85, colorspace="RGB", colorsubsampling="420")
                add_bytes(archive, f"Charades_v1_rgb/{video.name}/{video.name}-{frame + 1:06d}.jpg", jpeg)


def charades_list_rows(first_id, videos):
    """Return a frame list of Charades: the labels of each frame are comma-separated in quotes, often none."""
    rows = []
    for number, video in enumerate(videos):
        for frame in range(video.frames):
            shown = video.scene.at(frame / CHARADES_RATE)
            labels = ",".join(str(label) for label in sorted(CHARADES_CLASSES[one.action] for one in shown))
            path = f"{video.name}/{video.name}-{frame + 1:06d}.jpg"
            rows.append(f'{video.name} {first_id + number} {frame} {path} "{labels}"')
    return rows


def write_list(rows, path):
    """Write a frame list."""
    with atomic_write(path) as partial:
        partial.write_text(_lines([LIST_HEADER, *rows]))


# --- Checkpoints ------------------------------------------------------------------------------------------------------

# Layouts in the benchmark's archive, each in a folder of its name.
ARCHIVED = ("selavi", "moco", "video_moco", "pretext_contrast", "rspnet", "avid_cma", "ctp", "tclr", "gdt")


def write_archive(path, backbones):
    """Write the benchmark's archive of the methods' checkpoints; ``backbones``: state dicts by layout."""
    with (
        atomic_write(path) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
        tempfile.TemporaryDirectory(dir=partial.parent) as folder,
    ):
        for layout in ARCHIVED:
            checkpoint = Path(folder) / FILES[layout]
            write_checkpoint(layout, checkpoint, backbones[layout], half=True)
            member = zipfile.ZipInfo(f"checkpoints_pretraining/{layout}/{checkpoint.name}")
            with checkpoint.open("rb") as source, archive.open(member, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
            checkpoint.unlink()


def build_demo_checkpoints(checkpoints, supervised, videomae, seed):
    """Pre-train the methods' backbones and write them in their authors' layouts, in half precision to save disk space.

    ``checkpoints``, ``supervised``, ``videomae``: paths of the benchmark's archive, of the supervised checkpoint and of
    the transformer's.
    """
    backbones = pretrained_backbones(seed)
    write_archive(checkpoints, backbones)
    log.info("%s: %d methods", checkpoints, len(ARCHIVED))
    write_checkpoint("supervised", supervised, backbones["supervised"], half=True)
    write_checkpoint("videomae", videomae, backbones["videomae"], half=True)


# --- The mirror -------------------------------------------------------------------------------------------------------


def build_ava(films, annotations, seed):
    """Write the films (a path for each of ``FILMS``, in that order) and the archive of their annotations."""
    scenes = {}
    for number, (film, path) in enumerate(zip(FILMS, films, strict=True)):
        scenes[film] = film_scene(np.random.default_rng([seed, number]), number, film)
        encode_film(scenes[film], film, path)
        log.info("%s: %d s at %s frames per second", path, FILM_SECONDS, film.rate)
    write_annotations(annotation_files(np.random.default_rng([seed, len(FILMS)]), scenes), annotations)
    log.info("%s: %d films", annotations, len(FILMS))


def build_charades(frames, train, val, seed):
    """Write the tar of frames and the two frame lists."""
    rng = np.random.default_rng([seed, len(FILMS) + 1])
    videos = {part: draw_videos(rng, count) for part, count in CHARADES_VIDEOS.items()}
    write_charades_tar(itertools.chain.from_iterable(videos.values()), frames)
    write_list(charades_list_rows(0, videos["train"]), train)
    write_list(charades_list_rows(len(videos["train"]), videos["val"]), val)
    log.info("%s: %d videos", frames, sum(CHARADES_VIDEOS.values()))


def build_demo_mirror(films, ava_annotations, charades_frames, charades_train, charades_val, seed):
    """Write films, frames and annotations; all arguments but ``seed`` are paths (``films``: a list of paths)."""
    build_ava(films, ava_annotations, seed)
    build_charades(charades_frames, charades_train, charades_val, seed)
