# Predictions (GPU), then the metric (CPU): a corrected metric needs no GPU.


rule predict:
    """Predict the test set, with all views, by the fine-tuned network."""
    input:
        config="<run>/config.yaml",
        model="<run>/model.pth",
        lists=get_lists,
    output:
        predictions="<run>/predictions.npz",
    log:
        "<logs>/predict/{dataset}/{method}/seed{seed}.log",
    benchmark:
        "<benchmarks>/predict/{dataset}/{method}/seed{seed}.tsv"
    conda:
        "../../envs/trainer.yaml"
    threads: config["machine"]["threads"]
    resources:
        nodes=1,
        gpu=get_gpus,
        cpus_per_task=get_cpus,
        mem_mb=get_memory,
        runtime=get_prediction_runtime,
    message:
        "Predict the test set by {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed} (GPUs: {resources.gpu}; log: {log})"
    shell:
        "exec python -m trainer.evaluate predict --config={input.config:q} --gpus {resources.gpu} 3>&2 > {log:q} 2>&1"


rule score:
    """Score predictions: mAP and average precision per class."""
    input:
        config="<run>/config.yaml",
        predictions="<run>/predictions.npz",
        summary="<run>/summary.json",
        environment="<run>/environment.json",
        lists=get_lists,
        files=get_score_files,
    output:
        metrics="<run>/metrics.json",
        per_class="<run>/per_class.csv",
    log:
        "<logs>/score/{dataset}/{method}/seed{seed}.log",
    benchmark:
        "<benchmarks>/score/{dataset}/{method}/seed{seed}.tsv"
    conda:
        "../../envs/trainer.yaml"
    resources:
        mem_mb=8000,
        runtime=30,
    params:
        fingerprint=get_fingerprint,
    message:
        "Score {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m trainer.evaluate score --config={input.config:q} 3>&2 > {log:q} 2>&1"


rule bootstrap:
    """Score resamples of the test videos: intervals of mAP, and what comparisons of methods need."""
    input:
        config="<run>/config.yaml",
        predictions="<run>/predictions.npz",
        environment="<run>/environment.json",
        metrics="<run>/metrics.json",
        lists=get_lists,
        files=get_score_files,
    output:
        bootstrap="<run>/bootstrap.npz",
    log:
        "<logs>/bootstrap/{dataset}/{method}/seed{seed}.log",
    benchmark:
        "<benchmarks>/bootstrap/{dataset}/{method}/seed{seed}.tsv"
    conda:
        "../../envs/trainer.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        options=config["bootstrap"],
    message:
        "Score resamples of {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "python -m trainer.evaluate bootstrap --config={input.config:q} --resamples {params.options[resamples]}"
        " --seed {params.options[seed]} 3>&2 > {log:q} 2>&1"
