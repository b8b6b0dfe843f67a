#!/usr/bin/env bash
# Installs what is missing for running and building sealed containers, with the system's package manager, and says so.
#
#   docker/install.sh         a container engine, and what the base image is made with
#   docker/install.sh test    also what the tests use: both engines and a browser
set -euo pipefail

has() { command -v "$1" >/dev/null; }
wanted=()
# A docker command without a daemon that answers is no engine.
has podman || { [[ ${1:-} != test ]] && has docker && docker info >/dev/null 2>&1; } || wanted+=(podman uidmap slirp4netns)
# On control groups of version 1 Podman needs runc: crun refuses them.
[[ -e /sys/fs/cgroup/cgroup.controllers ]] || has runc || wanted+=(runc)
[[ -n ${BASE_IMAGE:-} ]] || has mmdebstrap || wanted+=(mmdebstrap)
if [[ ${1:-} == test ]]; then
  has dockerd || wanted+=(docker.io)
  has chromium || wanted+=(chromium)
fi
[[ ${#wanted[@]} -gt 0 ]] || exit 0

if ! has apt-get; then
  echo "docker/install.sh: please install ${wanted[*]} with this system's package manager, then run the same command again" >&2
  exit 2
fi
root=()
if [[ $EUID -ne 0 ]]; then
  if ! sudo -n true 2>/dev/null; then
    echo "docker/install.sh: please run 'sudo apt-get install ${wanted[*]}', then the same command again" >&2
    exit 2
  fi
  root=(sudo -n)
fi
echo "installing with apt-get: ${wanted[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${root[@]}" apt-get update -qq && "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends "${wanted[@]}"; } >"$log" 2>&1; then
  tail -5 "$log" >&2
  echo "docker/install.sh: apt-get could not install ${wanted[*]}; see above" >&2
  exit 2
fi
