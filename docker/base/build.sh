#!/usr/bin/env bash
# Builds localhost/tef-base:1, which the submissions in this folder start from: Python 3.11, pip and numpy.
#
#   docker/base/build.sh                                                      from Debian's packages (needs mmdebstrap)
#   BASE_IMAGE=docker.io/library/python:3.11-slim docker/base/build.sh        from an image of a registry
#
# Does nothing where the image is there already; remove the image to build it anew.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../engine.sh"
image=localhost/tef-base:1
image_id "$image" >/dev/null && exit 0
started=$SECONDS

if [[ -n ${BASE_IMAGE:-} ]]; then
  quietly "${BUILD[@]}" --tag "$image" --build-arg BASE_IMAGE="$BASE_IMAGE" "$here"
else
  if ! command -v mmdebstrap >/dev/null; then
    echo "docker/base/build.sh: mmdebstrap is not installed; install it (and debian-archive-keyring)," \
      "or set BASE_IMAGE=docker.io/library/python:3.11-slim" >&2
    exit 2
  fi
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # The same packages give the same bytes: file times are capped, and compiled Python does not depend on them.
  SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600} mmdebstrap --quiet --variant=minbase \
    --include=python3,python3-numpy,python3-pip \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='find "$1"/usr/lib/python3/dist-packages/numpy -type d -name tests -prune -exec rm -rf {} +' \
    --customize-hook='chroot "$1" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.11' \
    --customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig "$1"/var/cache/debconf' \
    bookworm "$work/base.tar" >&2
  quietly "$ENGINE" import --change 'CMD ["python3"]' --change 'ENV PIP_BREAK_SYSTEM_PACKAGES=1' \
    --change 'ENV PIP_ROOT_USER_ACTION=ignore' "$work/base.tar" "$image"
fi
echo "$image: built in $((SECONDS - started)) s, $(image_mb "$image") MB"
