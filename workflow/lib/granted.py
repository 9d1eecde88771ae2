"""The GPUs that a job is granted, which its CPUs and memory follow."""

import re
from collections.abc import Mapping


def granted_gpus(wanted: int, own: Mapping, limits: Mapping) -> int:
    """Return the number of GPUs of a job.

    ``wanted``: by the config. ``own``: the rule's resources, with those of a profile or ``--set-resources``: `gres`
    ("gpu:a100:4"), or else a number for `gpu`, replaces what is wanted. ``limits``: of ``--resources``.
    """
    if gres := re.fullmatch(r"gpu(:[^:]*[^:\d][^:]*)?(:(\d+))?", str(_given(own, "gres"))):
        return int(gres[3] or 1)
    gpu, limit = _given(own, "gpu"), _given(limits, "gpu")
    gpus = wanted if gpu is None else int(gpu)
    return gpus if limit is None else min(gpus, int(limit))


def _given(resources, name):
    """Return a resource as it is written in a profile or command; None if the rule's function computes it."""
    written = getattr(resources.get(name), "raw", resources.get(name))
    return None if callable(written) else written
