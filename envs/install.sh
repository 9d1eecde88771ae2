#!/bin/sh
# Install the locked packages for a container: sh envs/install.sh CHECKOUT ENVIRONMENT
# Dockerfile and apptainer.def run this, and so does a test, in a bare folder.
set -eu
checkout=$1 environment=$2

python3 -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
cd "$checkout"
UV_PROJECT_ENVIRONMENT=$environment "$environment/bin/uv" sync --locked --no-dev --inexact --quiet --system-certs
