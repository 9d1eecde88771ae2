# The last stop before GPUs: lists, boxes, frames and archives are checked against each other, once.


rule list_ava:
    """Boxes and labels of every key second, for the films whose frames are there."""
    input:
        unpack(get_ava_frames),
        **ANNOTATIONS,
    output:
        frames="<lists>/ava_frames.csv",
        train="<lists>/ava_train.csv",
        val="<lists>/ava_val.csv",
    log:
        "<logs>/list_ava.log",
    conda:
        "../../envs/trainer.yaml"
    params:
        videos=list(FILMS),
        start=AVA["start"],
        stop=AVA["stop"],
        fps=AVA["fps"],
        min_score=AVA["min_score"],
    script:
        "../scripts/list_ava.py"


rule list_charades:
    """Labels of every video, each of whose listed frames is in the archive."""
    input:
        unpack(get_charades_frames),
        train=f"{CHARADES_LISTS}/train.csv",
        val=f"{CHARADES_LISTS}/val.csv",
    output:
        frames="<lists>/charades_frames.csv",
        train="<lists>/charades_train.csv",
        val="<lists>/charades_val.csv",
    log:
        "<logs>/list_charades.log",
    conda:
        "../../envs/trainer.yaml"
    script:
        "../scripts/list_charades.py"
