# Cuts to frame archives, and indices by which one frame is one read.


rule extract_frames:
    """Decode a cut at a constant rate into a tar of JPEGs and the index of their places."""
    input:
        cut=get_cut,
    output:
        archive=f"{FRAMES_FOLDER}/{{video}}.tar",
        index=f"{FRAMES_FOLDER}/{{video}}.npy",
        record=f"{FRAMES_FOLDER}/{{video}}.json",
    log:
        "<logs>/extract_frames/{video}.log",
    benchmark:
        "<benchmarks>/extract_frames/{video}.tsv"
    conda:
        "../../envs/media.yaml"
    threads: 2
    params:
        start=get_cut_start,
        stop=get_cut_stop,
        fps=AVA["fps"],
        quality=AVA["quality"],
        short_side=AVA["short_side"],
    script:
        "../scripts/extract_frames.py"


rule index_charades:
    """Find every frame of Charades' own tar, which is never unpacked."""
    input:
        tar=CHARADES_TAR,
    output:
        index="<data>/charades/index.npy",
        videos="<data>/charades/videos.csv",
    log:
        "<logs>/index_charades.log",
    benchmark:
        "<benchmarks>/index_charades.tsv"
    conda:
        "../../envs/media.yaml"
    resources:
        runtime=240,
    script:
        "../scripts/index_charades.py"


rule index_folder:
    """Count the loose frames that a user already has."""
    input:
        get_folder,
    output:
        videos="<lists>/{dataset}_folder.csv",
    log:
        "<logs>/index_folder/{dataset}.log",
    conda:
        "../../envs/media.yaml"
    params:
        separator=get_separator,
    script:
        "../scripts/index_folder.py"
