# Everything from elsewhere: films, annotations, Charades, checkpoints. Whole and checked, or not there.


rule download_film:
    """Fetch one AVA film from the first source that has it."""
    input:
        get_local_film,
    output:
        unless_dropped("films", f"{config['data']}/ava/films/{{film}}"),
    log:
        "<logs>/download_film/{film}.log",
    wildcard_constraints:
        film=r"[^/]+\.(mkv|mp4|webm)",
    conda:
        "../../envs/media.yaml"
    resources:
        download=1,
        runtime=240,
    params:
        urls=get_film_urls,
        bytes=None,
        sha256=None,
    script:
        "../scripts/download.py"


rule download:
    """Fetch one file of the sources table."""
    input:
        get_local_file,
    output:
        "<data>/downloads/{file}",
    log:
        "<logs>/download/{file}.log",
    conda:
        "../../envs/media.yaml"
    resources:
        download=1,
        runtime=2880,
    params:
        urls=get_urls,
        bytes=get_bytes,
        sha256=get_sha256,
    script:
        "../scripts/download.py"


rule unpack_annotations:
    """Take the files that are used out of the annotation archive."""
    input:
        f"{config['data']}/downloads/{source_of('source', 'ava_annotations').file.iloc[0]}",
    output:
        expand("<data>/ava/annotations/{file}", file=ANNOTATION_FILES.values()),
    log:
        "<logs>/unpack_annotations.log",
    conda:
        "../../envs/media.yaml"
    script:
        "../scripts/unpack.py"


rule unpack_checkpoint:
    """Take one published checkpoint out of their archive, whatever its folders are called."""
    input:
        f"{config['data']}/downloads/{source_of('source', 'checkpoints').file.iloc[0]}",
    output:
        "<data>/checkpoints/{file}",
    log:
        "<logs>/unpack_checkpoint/{file}.log",
    localrule: True
    conda:
        "../../envs/media.yaml"
    script:
        "../scripts/unpack.py"
