# Sourced by the build scripts: chooses the container engine and says how to build with it.
# ENGINE=podman|docker   default: Podman where it is installed, else Docker

if [[ -z ${ENGINE:-} ]]; then
  for ENGINE in podman docker none; do command -v "$ENGINE" >/dev/null && break; done
fi
if ! command -v "$ENGINE" >/dev/null; then
  echo "docker/engine.sh: no container engine (${ENGINE}) is installed; install Podman or Docker" >&2
  exit 2
fi

BUILD=("$ENGINE" build)
if [[ $ENGINE == podman ]]; then
  # Podman asks for more open files and processes than a host inside a sandbox may grant.
  BUILD+=(--layers=false --ulimit nofile=4096:4096 --ulimit nproc=4096:4096)
  # crun cannot start containers on cgroups of version 1.
  if [[ ! -e /sys/fs/cgroup/cgroup.controllers ]] && command -v runc >/dev/null; then BUILD+=(--runtime runc); fi
fi

# Runs a command and shows what it said only if it failed.
quietly() {
  local said
  said=$("$@" 2>&1) || { echo "$said" >&2 && return 1; }
}

image_label() { "$ENGINE" image inspect --format "{{index .Config.Labels \"$2\"}}" "$1" 2>/dev/null || true; }
image_id() { "$ENGINE" image inspect --format '{{.Id}}' "$1" 2>/dev/null; }
image_mb() { echo $(($("$ENGINE" image inspect --format '{{.Size}}' "$1") / 1000000)); }
