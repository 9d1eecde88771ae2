"""Ask a running SLURM."""

import subprocess


def slurm(*command) -> str:
    """Return what a command of SLURM prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
