#!/usr/bin/env bash
# Builds the submissions of this folder: docker/build.sh NAME... gives localhost/tef-NAME:1 from docker/NAME/Dockerfile.
#
#   docker/build.sh example suv-threshold
#   docker/build.sh hostile-never-ready          one mode of docker/hostile; python3 docker/hostile/model.py lists them
#
# ENGINE=podman|docker   the container engine               (default: what is installed)
# SHARED=../shared       where the files that a shared.txt names lie (default: beside the project)
# PYTHON=.venv/bin/python   downloads the packages of requirements.txt, so that the build itself needs no network
#
# An image is built again only when something that goes into it has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
# Two builds at a time would write to the same folders.
mkdir -p .build/docker
[[ -n ${TEF_BUILD_LOCKED:-} ]] || TEF_BUILD_LOCKED=yes exec flock --close .build/docker/lock docker/build.sh "$@"
source docker/engine.sh
SHARED=${SHARED:-../shared}
PYTHON=${PYTHON:-.venv/bin/python}

fail() { echo "docker/build.sh: $1" >&2 && exit 2; }

declare -A checked
build() {
  [[ -z ${checked[$1]:-} ]] || return 0
  local name=$1 folder=${1/#hostile-*/hostile} mode='' image=localhost/tef-$1:1 started=$SECONDS parents parent stage inputs file
  [[ $name == hostile-* ]] && mode=${name#hostile-}
  [[ -f docker/$folder/Dockerfile && $name != base && $name != hostile ]] ||
    fail "$name: no such submission; there are $(cd docker && ls -d */Dockerfile | grep -v '^base/' | xargs dirname | sed 's/^hostile$/hostile-MODE/' | xargs)"

  parents=$(sed -n 's/^FROM localhost\/tef-\([a-z0-9-]*\):1.*/\1/p' "docker/$folder/Dockerfile" | sort -u)
  for parent in $parents; do
    if [[ $parent == base ]]; then ENGINE=$ENGINE docker/base/build.sh; else build "$parent"; fi
  done

  stage=.build/docker/$name
  rm -rf "$stage" && mkdir -p "$stage"
  cp docker/tef_model.py "docker/$folder/Dockerfile" "docker/$folder"/*.py "$stage"
  [[ ! -f docker/$folder/requirements.txt ]] || cp "docker/$folder/requirements.txt" "$stage"
  if [[ -f docker/$folder/shared.txt ]]; then
    while read -r file; do
      [[ -f $SHARED/$file ]] || fail "$name: $SHARED/$file is missing; set SHARED to the folder that holds it"
      cp "$SHARED/$file" "$stage"
    done <"docker/$folder/shared.txt"
  fi
  chmod -R u=rwX,go=rX "$stage"

  inputs=$({
    (cd "$stage" && find . -type f -exec sha256sum {} + | LC_ALL=C sort)
    for parent in $parents; do image_id "localhost/tef-$parent:1"; done
    echo "$mode"
  } | sha256sum | cut -d ' ' -f 1)
  checked[$name]=yes
  if [[ $(image_label "$image" tef.inputs) == "$inputs" ]]; then
    echo "$image: up to date"
    return
  fi
  if [[ -f $stage/requirements.txt ]]; then
    command -v "$PYTHON" >/dev/null || fail "$PYTHON is missing; make the virtual environment, or set PYTHON to a Python with pip"
    "$PYTHON" -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 \
      --dest "$stage/wheels" --requirement "$stage/requirements.txt" 2>"$stage.log" ||
      fail "$name: the packages of docker/$folder/requirements.txt cannot be downloaded: $(grep ERROR "$stage.log" | tail -1)"
  fi
  quietly "${BUILD[@]}" --network none --tag "$image" --label tef.inputs="$inputs" ${mode:+--build-arg MODE="$mode"} "$stage"
  echo "$image: built in $((SECONDS - started)) s, $(image_mb "$image") MB"
}

[[ $# -gt 0 ]] || fail "which submission? docker/build.sh NAME..."
for name in "$@"; do build "$name"; done
