"""A model that a plain process can be: finds the cube by a threshold, or misbehaves as MODE says. Standard library only."""

import gzip
import json
import os
import struct
import sys
import time
from pathlib import Path

MODE, OUTPUT = os.environ["MODE"], os.environ["OUTPUT_NAME"]


def local(path):
    """Where a path of the container lies for a plain process."""
    root, _, rest = path.lstrip("/").partition("/")
    return Path(os.environ[root.upper()]) / rest


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(scan, folder):
    raw = gzip.decompress(scan.read_bytes())
    offset = int(struct.unpack("<f", raw[108:112])[0])
    voxels = struct.unpack(f"<{(len(raw) - offset) // 4}f", raw[offset:])
    mask = bytes(value > 0.5 for value in voxels)
    if OUTPUT == "malignancy":
        (folder / "malignancy.json").write_text(json.dumps({"probability": round(0.1 + sum(mask) / 300, 3)}))
        return
    header = bytearray(raw[:offset])
    header[70:74] = struct.pack("<hh", 2, 8)
    (folder / "lesion.nii").write_bytes(bytes(header) + mask)


if MODE == "exits-at-start":
    print("no weights found", file=sys.stderr)
    sys.exit(4)
if MODE == "never-ready":
    time.sleep(600)
say({"tef": 1, "ready": True})
for number, line in enumerate(sys.stdin, start=1):
    case = json.loads(line)
    folder = local(case["output"])
    if MODE == "slow":
        time.sleep(0.15)
    if MODE == "crash-at-3" and number == 3:
        print("Traceback: something in layer 5", file=sys.stderr, flush=True)
        os._exit(3)
    if MODE == "hangs-at-2" and number == 2:
        time.sleep(600)
    if MODE == "error-at-2" and number == 2:
        say({"tef": 1, "case": case["case"], "status": "error", "message": "ValueError at model.py:1"})
        continue
    if MODE == "peeks":
        seen = sorted(p.relative_to(local("/input")).as_posix() for p in local("/input").rglob("*"))
        seen += sorted(p.relative_to(local("/output")).as_posix() for p in local("/output").rglob("*"))
        dates = {p.stat().st_mtime for p in local("/input").rglob("*.nii.gz")}
        print(json.dumps({"seen": seen, "line": case, "dates": sorted(dates)}), file=sys.stderr, flush=True)
    answer(local(case["inputs"]["scan"]), folder)
    say({"tef": 1, "case": case["case"], "status": "ok"})
