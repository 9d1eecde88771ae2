# Resources that the jobs of this machine share, and warnings about what it lacks. No profile sets these resources, as
# `--resources gpu=4` on the command line replaces all of a profile's.

from workflow.lib.machine import visible_gpus
from workflow.lib.machine_warnings import check_machine
from workflow.lib.slurm import check_preemption, job_gpus

HERE = not workflow.resource_settings.nodes  # --jobs are those of a cluster; the executor is not known before onstart

if "download" not in workflow.global_resources:
    workflow.register_resource("download", 4)  # mirrors are shared

if not workflow.is_main_process and (granted := job_gpus()):  # Snakemake does not tell a job of --resources
    workflow.register_resource("gpu", granted)

if workflow.is_main_process:
    with exit_on_input_error():
        EXPERIMENT.check_files()
        if not HERE:
            EXPERIMENT.check_cluster()
        if HERE and config["machine"]["device"] == "cuda" and "gpu" not in workflow.global_resources:
            if gpus := visible_gpus():
                workflow.register_resource("gpu", len(gpus))
                logger.info(f"GPUs of this machine: {len(gpus)} ({gpus[0].name}); use fewer by --resources gpu=1")
        for line in check_machine(EXPERIMENT, HERE):
            logger.warning(f"warning: {line}")
