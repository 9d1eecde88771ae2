# One GPU job per dataset, method and seed.


rule write_run_config:
    """Write the settings of a run; the trainer needs no other file of settings."""
    output:
        "<run>/config.yaml",
    log:
        "<logs>/write_run_config/{dataset}/{method}/seed{seed}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        run=get_run,
    message:
        "Write {output}"
    script:
        "../scripts/write_run_config.py"


rule check_checkpoint:
    """Check that a checkpoint fits its backbone, before a GPU is asked for, and report its contents."""
    input:
        get_checkpoint,
    output:
        "<results>/checkpoints/{method}.txt",
    log:
        "<logs>/check_checkpoint/{method}.log",
    priority: 1  # a wrong file is reported while data is prepared
    retries: 0  # it stays wrong
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        options=get_inspect_options,
    message:
        "Check that {input} fits its backbone"
    shell:
        "python -m trainer.models.inspect {params.options:q} -- {input:q} 3>&2 > {output:q} 2> {log:q}"


rule finetune:
    """Fine-tune a method's checkpoint on a dataset; an interrupted job resumes from its last checkpoint."""
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
        cpus_per_task=get_cpus,
        mem_mb=get_memory,
        runtime=get_runtime,
    message:
        "Fine-tune {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed} (GPUs: {resources.gpu}; log: {log})"
    shell:
        "exec python -m trainer.train --config={input.config:q} --gpus {resources.gpu} 3>&2 > {log:q} 2>&1"
