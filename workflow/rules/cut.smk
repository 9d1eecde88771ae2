# Films to their annotated quarter of an hour.


rule cut_film:
    """Copy the packets of the annotated window, without decoding them; NUT alone keeps every time stamp as it was."""
    input:
        film=get_film,
    output:
        cut=unless_dropped("cuts", f"{CUTS_FOLDER}/{{video}}.nut"),
    log:
        "<logs>/cut_film/{video}.log",
    benchmark:
        "<benchmarks>/cut_film/{video}.tsv"
    conda:
        "../../envs/media.yaml"
    params:
        start=AVA["start"],
        stop=AVA["stop"],
    script:
        "../scripts/cut_film.py"
