# A small copy of the upstream files, to which the demo's sources point. No other rule or config names it.

from workflow.demo.films import FILMS


rule build_demo_mirror:
    """Draw films and videos, and write them with annotations in upstream's formats."""
    output:
        films=expand("data/demo/mirror/trainval/{film.name}", film=FILMS),
        ava_annotations="data/demo/mirror/ava_annotations.tar",
        charades_frames="data/demo/mirror/Charades_v1_rgb.tar",
        charades_train="data/demo/mirror/frame_lists/train.csv",
        charades_val="data/demo/mirror/frame_lists/val.csv",
    log:
        "<logs>/build_demo_mirror.log",
    benchmark:
        "<benchmarks>/build_demo_mirror.tsv"
    conda:
        "../../envs/demo.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        seed=0,
    message:
        "Draw the demo's films and videos"
    script:
        "../scripts/build_demo_mirror.py"


rule build_demo_checkpoints:
    """Pre-train a checkpoint of each method on drawn clips, for a different number of steps, in its authors' format."""
    output:
        checkpoints="data/demo/mirror/pretrained/checkpoints_pretraining.zip",
        supervised="data/demo/mirror/r2plus1d_18-91a641e6.pth",
        videomae="data/demo/mirror/videomae_vit_s.pth",
    log:
        "<logs>/build_demo_checkpoints.log",
    benchmark:
        "<benchmarks>/build_demo_checkpoints.tsv"
    priority: 1  # all runs but one wait for it
    conda:
        "../../envs/demo.yaml"
    threads: 2
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        seed=0,
    message:
        "Pre-train the demo's checkpoints on drawn clips"
    script:
        "../scripts/build_demo_checkpoints.py"
