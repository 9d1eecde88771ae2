# Makes the packages of this workflow importable, here and in jobs, and reads the settings.

import os
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

# Jobs run the Python that runs Snakemake and find our packages, as this file does; also those of a cluster, which parse
# it again. If this file comes from a web address, the packages are those that pip has installed.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)]))
if (CHECKOUT := Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]).is_dir():
    sys.path.insert(0, str(CHECKOUT))
    os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(CHECKOUT), os.getenv("PYTHONPATH")])))
    advice = f"activate the environment of `make setup` (source .venv/bin/activate), or pip install {CHECKOUT}"
else:
    advice = "pip install git+<address>@<tag>, as workflow/Snakefile names them"
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
        sys.exit("error: --sdm conda: its environments lack this project's packages; clone the repository instead")

# Settings of runs hold paths, which Snakemake does not change as it changes those of rules.
if workflow.modifier.path_modifier.prefix or workflow.modifier.path_modifier.modifies_prefixes:
    sys.exit("error: module: prefix: does not reach the settings of runs; set `data` and `results` instead")
if workflow.storage_settings.default_storage_provider:
    sys.exit("error: --default-storage-provider: leave it out; set `data` and `results` on a shared file system")

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # jobs share cores: a thread that waits must sleep, not spin

workflow.deployment_settings.conda_not_block_search_path_envvars = True  # --sdm conda would hide PYTHONPATH from jobs

os.environ.update(VSSL_STDERR="3")  # rules keep Snakemake's stderr as this descriptor: their log's disk may be full

try:
    from trainer.utils.errors import exit_on_input_error
    from workflow.lib import experiment, machine_warnings  # which import all packages that a plan needs
    from workflow.lib.config_files import check_working_directory, find, read_file, read_settings
except ModuleNotFoundError as error:
    sys.exit(f"error: {sys.executable} has no package {error.name}; {advice}")

with exit_on_input_error():
    check_working_directory()
    for path in workflow.overwrite_configfiles:  # Snakemake, which reads them, drops the first of two equal keys
        read_file(path)
    if workflow.modifier.is_main_snakefile():
        config = read_settings(config)
    elif config == workflow.modifier.parent_modifier.globals["config"]:  # all of it, with that of the command line
        config = read_settings(workflow.config_settings.overwrite_config, importing=config)
    else:
        config = read_settings(config, importing={})
