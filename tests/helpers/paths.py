"""Places of this checkout."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests/fixtures"
MIRROR = ROOT / "data/demo/mirror"
DEMO_RESULTS = ROOT / "results/demo"
GPU_SUMMARY = ROOT / "results/gpu/summary.txt"
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
