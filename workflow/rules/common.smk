# Reads the experiment and answers what rules ask about their inputs. The logic is in workflow/lib/experiment.py.

from trainer.datasets import DATASETS
from workflow.lib.experiment import AVA_ANNOTATIONS, Experiment, local_paths
from workflow.lib.granted import granted_gpus

with exit_on_input_error():
    EXPERIMENT = Experiment(config)


def unless_deleted(kind, path):
    return temp(path) if kind in config["delete_after_use"] else path


def get_film(wildcards):
    with exit_on_input_error():
        return EXPERIMENT.film(wildcards.video)


def get_cut(wildcards):
    with exit_on_input_error():
        return EXPERIMENT.cut(wildcards.video)


def get_frame_separator(wildcards):
    return DATASETS[wildcards.dataset].frame_separator


def get_film_urls(wildcards, output):  # by `output`, Snakemake does not compare it: a new address re-runs nothing
    return EXPERIMENT.film_urls(wildcards.film)


def get_urls(wildcards, output):
    return EXPERIMENT.urls(wildcards.file)


def get_bytes(wildcards):
    return EXPERIMENT.size(wildcards.file)


def get_sha256(wildcards):
    return EXPERIMENT.source_rows("file", wildcards.file).sha256.iloc[0] or None


def get_local_film(wildcards):
    return local_paths(EXPERIMENT.film_urls(wildcards.film))


def get_local_file(wildcards):
    return local_paths(EXPERIMENT.urls(wildcards.file))


def get_checkpoint(wildcards):
    with exit_on_input_error():
        return EXPERIMENT.checkpoint(wildcards.method) or []


def get_checkpoint_report(wildcards):
    return EXPERIMENT.checkpoint_report(wildcards.method) or []


def get_inspect_options(wildcards):
    return EXPERIMENT.inspect_options(wildcards.method)


def get_run(wildcards):
    return EXPERIMENT.run_to_write(**wildcards)


def get_fingerprint(wildcards):
    return EXPERIMENT.fingerprint(**wildcards)


def get_lists(wildcards):
    return [f"{EXPERIMENT.lists}/{wildcards.dataset}_{part}.csv" for part in ("frames", "train", "val")]


def get_score_files(wildcards):
    return list(EXPERIMENT.score_files(wildcards.dataset).values())


def get_gpus(wildcards):
    return EXPERIMENT.gpus(wildcards.dataset)


def get_processes(wildcards, rulename):
    return granted_gpus(get_gpus(wildcards), workflow.get_rule(rulename).resources, workflow.global_resources) or 1


def get_memory(wildcards, rulename):
    return 32000 * get_processes(wildcards, rulename)  # MB, with loaders


def get_cpus(wildcards, rulename):
    return EXPERIMENT.cpus_per_gpu * get_processes(wildcards, rulename)


def get_runtime(wildcards):
    return config[wildcards.dataset]["runtime"]


def get_prediction_runtime(wildcards, attempt):
    return 240 * attempt  # min; unlike training, prediction begins again after a time limit


def get_datasets(wildcards):
    return [wildcards.dataset] if "dataset" in wildcards.keys() else config["datasets"]


def get_runs(wildcards):
    with exit_on_input_error():
        return [] if wildcards.get("partial") else EXPERIMENT.result_files(get_datasets(wildcards))


def get_other_runs(wildcards):
    with exit_on_input_error():
        return EXPERIMENT.other_result_files()


def get_finished(wildcards):
    return EXPERIMENT.result_times(get_datasets(wildcards)) if wildcards.partial else {}


def get_results(wildcards):
    return EXPERIMENT.results(get_datasets(wildcards))


def get_figures(wildcards):
    return [f"{config['results']}/{wildcards.partial}figures/{name}.svg" for name in EXPERIMENT.figures]
