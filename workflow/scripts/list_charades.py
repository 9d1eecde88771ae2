"""Write the lists of a Charades run, and check that the archive holds every frame that they name."""

import logging

from trainer.data import charades_lists
from trainer.datasets import DATASETS
from trainer.utils.errors import InputError
from trainer.utils.files import write_csv
from workflow.lib.frames_list import frames_in_folder, frames_in_one_archive, write_frames_list
from workflow.lib.rule_script import rule_script

log = logging.getLogger(__name__)

# Videos in the published frame lists: those of the official annotation that have an action.
PUBLISHED = {"train": 7811, "val": 1814}


def list_charades(available, source, output):
    """Write the lists of frames, training videos and test videos.

    ``available``: rows of a frames list, see `workflow.lib.frames_list`. ``source``: paths of the published train and
    val, and of the archive or folder of frames. ``output``: paths of frames, train and val. Raises InputError if a list
    names a frame that does not exist.
    """
    places = {row.video: row for row in available}
    listed, lists = {}, {}
    for split, published in PUBLISHED.items():
        path = source[split]
        videos = list(charades_lists.read_frame_list(path))
        check_frames(path, videos, places, source)
        if both := [video.video for video in videos if video.video in listed]:
            raise InputError(f"{path}: {', '.join(both[:10])}: listed for training, too; remove them from one list")
        listed |= {video.video: places[video.video] for video in videos}
        frames = sum(video.frames for video in videos)
        log.info("%s: %d videos (published: %d), %d frames", path, len(videos), published, frames)
        lists[split] = videos
    for split, videos in lists.items():
        write_csv(output[split], charades_lists.COLUMNS, (video.row() for video in videos))
    log.info("skipped %d videos of the archive, which no list names", len(places) - len(listed))
    write_frames_list(output["frames"], listed.values())


def check_frames(path, videos, places, source):
    """Raise InputError unless the archive or folder holds every frame that the list at ``path`` names."""
    if not videos:
        raise InputError(f"{path}: no video in it")
    short = [video for video in videos if video.video not in places or places[video.video].frames < video.frames]
    if short:
        video = short[0]
        held = places[video.video].frames if video.video in places else 0
        folder = source.get("folder")
        raise InputError(
            f"{path}: names frame {held} of {video.video} ({video.frames} frames from 0), which "
            f"{folder or source['archive']} does not hold"
            + (f", nor frames of {len(short) - 1} more videos" if len(short) > 1 else "")
            + f"; {'add them' if folder else 'download the archive again'}, or remove these videos from the list"
        )


if __name__ == "__main__":
    with rule_script(snakemake):
        source = snakemake.input
        if folder := source.get("folder"):
            available = frames_in_folder(folder, source.videos, DATASETS["charades"].frame_separator)
        else:
            available = frames_in_one_archive(source.archive, source.index, source.videos)
        list_charades(available, source, snakemake.output)
