# One GPU job per dataset, method and seed.


rule run_config:
    """Write down everything that decides a run; the trainer needs no more than this file."""
    output:
        "<run>/config.yaml",
    log:
        "<logs>/run_config/{dataset}/{method}/seed{seed}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        run=get_run,
    script:
        "../scripts/run_config.py"


rule check_checkpoint:
    """Tell what is in a user's own checkpoint: it fits whole, or nothing is trained on it."""
    input:
        get_checkpoint,
    output:
        "<results>/checkpoints/{method}.txt",
    log:
        "<logs>/check_checkpoint/{method}.log",
    priority: 1  # a wrong one is told while data is prepared
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        backbone=lookup(dpath="{method}/backbone", within=METHODS.to_dict("index")),
        layout=lookup(dpath="{method}/layout", within=METHODS.to_dict("index")),
    shell:
        "python -m trainer.models.checkpoints {input:q} --backbone {params.backbone} --layout {params.layout}"
        " > {output} 2> {log}"


rule finetune:
    """Fine-tune a method's checkpoint on a dataset. A job that was stopped goes on from its last resume checkpoint."""
    input:
        config="<run>/config.yaml",
        checkpoint=get_checkpoint,
        report=get_checkpoint_report,
        lists=get_lists,
    output:
        model="<run>/model.pth",
        history="<run>/history.csv",
        summary="<run>/summary.json",
        environment="<run>/environment.json",
    log:
        "<logs>/finetune/{dataset}/{method}/seed{seed}.log",
    benchmark:
        "<benchmarks>/finetune/{dataset}/{method}/seed{seed}.tsv"
    conda:
        "../../envs/trainer.yaml"
    threads: config["machine"]["threads"]
    resources:
        nodes=1,
        gpu=get_gpus,
        cpus_per_gpu=get_cpus_per_gpu,
        mem_mb=get_memory,
        runtime=get_runtime,
    shell:
        "exec python -m trainer.train --config {input.config} --gpus {resources.gpu} > {log} 2>&1"
