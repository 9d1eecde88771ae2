# Downloads of films, annotations, Charades and checkpoints: checked, then named.


rule download_film:
    """Download one AVA film from the first source that has it."""
    input:
        get_local_film,
    output:
        unless_deleted("films", f"{config['data']}/ava/films/{{film}}"),
    log:
        "<logs>/download_film/{film}.log",
    benchmark:
        "<benchmarks>/download_film/{film}.tsv"
    wildcard_constraints:
        film=r"[^/]+\.(mkv|mp4|webm)",
    conda:
        "../../envs/media.yaml"
    resources:
        download=1,
        mem_mb=4000,
        runtime=60,
    params:
        urls=get_film_urls,
        bytes=None,  # as in 0.1: with other params, Snakemake would download every film again
        sha256=None,
    message:
        "Download {output}"
    script:
        "../scripts/download_film.py"


rule download:
    """Download one file of the sources table."""
    input:
        get_local_file,
    output:
        "<data>/downloads/{file}",
    log:
        "<logs>/download/{file}.log",
    benchmark:
        "<benchmarks>/download/{file}.tsv"
    conda:
        "../../envs/media.yaml"
    resources:
        download=1,
        mem_mb=4000,
        runtime=1440,  # many partitions grant no more; a download that is cut off resumes
    params:
        urls=get_urls,
        bytes=get_bytes,
        sha256=get_sha256,
    message:
        "Download {output}"
    script:
        "../scripts/download.py"


rule unpack_annotations:
    """Unpack the annotation files that are used."""
    input:
        EXPERIMENT.downloaded("ava_annotations"),
    output:
        expand("<data>/ava/annotations/{file}", file=AVA_ANNOTATIONS.values()),
    log:
        "<logs>/unpack_annotations.log",
    conda:
        "../../envs/media.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    message:
        "Unpack AVA's annotations"
    script:
        "../scripts/unpack_annotations.py"


rule unpack_checkpoint:
    """Unpack one published checkpoint, whatever folder of the archive it is in."""
    input:
        EXPERIMENT.downloaded("checkpoints"),
    output:
        "<data>/checkpoints/{file}",
    log:
        "<logs>/unpack_checkpoint/{file}.log",
    localrule: True
    conda:
        "../../envs/media.yaml"
    message:
        "Unpack {output}"
    script:
        "../scripts/unpack_checkpoint.py"
