"""Fine-tunes a network and scores it, with or without Snakemake."""

import gc
import warnings

# PyTorch's import makes a million objects, which stay: looking through them after every 700 new ones took a tenth to a
# fifth of each start.
gc.set_threshold(10_000)

# torchvision prints this warning at each import; users can do nothing about it.
warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
