"""Attack the project: files of users damaged in hundreds of ways, and trainings disturbed in all ways.

    python -m tests.attack [--only WORD]     all tries, or those whose name holds the word; "lifetime": disturbed runs
    python -m tests.attack --kills 20        kill a random process of a training at a random moment, 20 times

Prints a table of outcomes and the bad ones in full; the exit status is 1 if there is any.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from tests.attack import annotations, archives, checkpoints, frames, results, samples, settings
from tests.attack.allowed import ALLOWED
from tests.attack.kills import disturb_in_all_ways, kill_at_random
from tests.attack.tries import ACCEPTED, BAD, HARMLESS, REFUSED, Outcome, Tries, Try

READERS = [
    reader for module in (settings, annotations, frames, archives, checkpoints, results) for reader in module.READERS
]


def main():
    parser = argparse.ArgumentParser(
        prog="python -m tests.attack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="WORD", default="", help="tries whose name holds it")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="kill a training N times instead")
    parser.add_argument("--seed", type=int, default=None, help="of the kills; default: the time")
    parser.add_argument("--all", action="store_true", help="print every try")
    args = parser.parse_args()
    torch.set_num_threads(1)  # children are forked
    scratch = Path(tempfile.mkdtemp(prefix="attack-"))
    try:
        if args.kills:
            sys.exit(kill_at_random(scratch, args.kills, args.seed or int(time.time())))
        if args.only == "lifetime":
            sys.exit(disturb_in_all_ways(scratch))
        sys.exit(attack_files(scratch, args.only, args.all))
    finally:
        shutil.rmtree(scratch)


def tries_of(reader, folder):
    """Yield the tries of a reader, the one without damage first."""
    yield Try(reader, None, "none", None)
    if reader.values:
        folder.mkdir()
        reader.make(folder)
    for file in reader.files:
        damages = reader.damages | (reader.values(folder / file) if reader.values else {})
        for name, damage in damages.items():
            yield Try(reader, file, name, damage)


def attack_files(scratch, word, show_all):
    """Damage files in all ways; return the exit status."""
    samples.CACHE = scratch / "cache"
    samples.CACHE.mkdir()
    started = time.monotonic()
    tries = Tries(scratch)
    for number, reader in enumerate(READERS):
        chosen = [one for one in tries_of(reader, scratch / f"whole{number}") if one.file is None or word in one.name]
        for one in chosen if len(chosen) > 1 else []:
            tries.add(one)
    outcomes = tries.finish()
    whole = {one.reader: outcome for one, outcome in outcomes.items() if one.file is None}
    judged = {one: compared(one, outcome, whole[one.reader]) for one, outcome in outcomes.items() if one.file}
    print_table(judged)
    bad = {one: outcome for one, outcome in judged.items() if outcome.kind in BAD or outcome.kind == "broken attack"}
    for reader, outcome in whole.items():
        if outcome.kind != "accepted":
            print(f"BROKEN {reader.name}: whole files: {outcome.kind}: {outcome.words[:1000]}")
    for one, outcome in judged.items():
        if one in bad or show_all or outcome.kind in (HARMLESS, ACCEPTED):
            print(f"{'BAD ' if one in bad else ''}{outcome.kind}: {one.name}: {outcome.words[:600]}")
    if code_ran := (samples.CACHE / "hacked").exists():
        print("BAD: code of a checkpoint ran")
    print(f"{len(judged)} tries, {len(bad)} bad, {time.monotonic() - started:.0f} s")
    return int(bool(bad) or code_ran)


def compared(one, outcome, whole):
    """Judge what was accepted: the same result as of whole files is fine."""
    if outcome.kind != "accepted":
        return outcome
    if outcome.words == whole.words:
        return Outcome(HARMLESS, "", outcome.seconds)
    for pattern, reason in ALLOWED:
        if re.search(pattern, one.name):
            return Outcome(ACCEPTED, reason, outcome.seconds)
    return Outcome("accepted silently", first_difference(whole.words, outcome.words), outcome.seconds)


def first_difference(one, other):
    place = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"...{one[max(place - 30, 0) : place + 60]!r} became ...{other[max(place - 30, 0) : place + 60]!r}"


def print_table(judged):
    kinds = [
        kind
        for kind in (REFUSED, HARMLESS, ACCEPTED, *BAD, "broken attack")
        if any(o.kind == kind for o in judged.values())
    ]
    counts = Counter((one.reader.name, outcome.kind) for one, outcome in judged.items())
    names = list(dict.fromkeys(one.reader.name for one in judged))
    width = max(map(len, names), default=0)
    print(" " * width, *(f"{kind:>21}" for kind in [*kinds, "tries"]))
    for name in [*names, "all"]:
        row = [sum(n for (of, k), n in counts.items() if k == kind and name in (of, "all")) for kind in kinds]
        print(f"{name:{width}}", *(f"{n or '':>21}" for n in [*row, sum(row)]))


if __name__ == "__main__":
    main()
