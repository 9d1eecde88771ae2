# Films to cuts, cuts to frame archives, and indices by which one frame is one read.


rule cut_film:
    """Cut a film to its annotated window by copying packets, without decoding."""
    input:
        film=get_film,
    output:
        cut=unless_deleted("cuts", f"{EXPERIMENT.cuts_folder}/{{video}}.nut"),
    log:
        "<logs>/cut_film/{video}.log",
    benchmark:
        "<benchmarks>/cut_film/{video}.tsv"
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        start=config["ava"]["start"],
        stop=config["ava"]["stop"],
    message:
        "Cut {input.film} to seconds {params.start}-{params.stop}"
    script:
        "../scripts/cut_film.py"


rule extract_frames:
    """Extract frames at a constant rate into a tar of JPEGs, with an index of their offsets."""
    input:
        cut=get_cut,
    output:
        archive=f"{EXPERIMENT.frames_folder}/{{video}}.tar",
        index=f"{EXPERIMENT.frames_folder}/{{video}}.npy",
        record=f"{EXPERIMENT.frames_folder}/{{video}}.json",
    log:
        "<logs>/extract_frames/{video}.log",
    benchmark:
        "<benchmarks>/extract_frames/{video}.tsv"
    conda:
        "../../envs/media.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=40,
    params:
        start=EXPERIMENT.cut_window[0],
        stop=EXPERIMENT.cut_window[1],
        fps=config["ava"]["fps"],
        jpeg_quality=config["ava"]["jpeg_quality"],
        short_side=config["ava"]["short_side"],
    message:
        "Extract the frames of {wildcards.video} into {output.archive}"
    script:
        "../scripts/extract_frames.py"


rule index_charades:
    """Index every frame of Charades' tar, which is not unpacked."""
    input:
        tar=EXPERIMENT.charades_tar,
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
        mem_mb=4000,
        runtime=240,
    message:
        "Index the frames of {input.tar}"
    script:
        "../scripts/index_charades.py"


rule index_folder:
    """Count the loose frames in a user's folder."""
    input:
        lookup("existing/{dataset}_frames", within=config),
    output:
        videos="<lists>/{dataset}_folder.csv",
    log:
        "<logs>/index_folder/{dataset}.log",
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        separator=get_frame_separator,
    message:
        "Count the loose frames in {input}"
    script:
        "../scripts/index_folder.py"
