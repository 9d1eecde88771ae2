# Lists of training and test examples. Boxes, labels, frames and archives are checked against each other before training.


rule list_ava:
    """List boxes and labels of every key second, and check them against the frames."""
    input:
        **EXPERIMENT.ava_frames,
        **EXPERIMENT.annotations["ava"],
    output:
        frames="<lists>/ava_frames.csv",
        train="<lists>/ava_train.csv",
        val="<lists>/ava_val.csv",
    log:
        "<logs>/list_ava.log",
    conda:
        "../../envs/trainer.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        videos=list(EXPERIMENT.films),
        start=config["ava"]["start"],
        stop=config["ava"]["stop"],
        fps=config["ava"]["fps"],
        min_person_score=config["ava"]["min_person_score"],
    message:
        "List AVA's examples and check them against the frames"
    script:
        "../scripts/list_ava.py"


rule list_charades:
    """List labels of every video, and check that the archive has its frames."""
    input:
        **EXPERIMENT.charades_frames,
        train=EXPERIMENT.annotations["charades"]["train"],
        val=EXPERIMENT.annotations["charades"]["val"],
        # The score reads it, and a corrected name changes no list. Without this input, Snakemake would plan all
        # trainings again.
        label_map=ancient(EXPERIMENT.annotations["charades"]["label_map"]),
    output:
        frames="<lists>/charades_frames.csv",
        train="<lists>/charades_train.csv",
        val="<lists>/charades_val.csv",
    log:
        "<logs>/list_charades.log",
    conda:
        "../../envs/trainer.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    message:
        "List Charades' examples and check them against the frames"
    script:
        "../scripts/list_charades.py"
