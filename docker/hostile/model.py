"""A submission that misbehaves in one chosen way, to test that the harness holds. `docker/build.sh hostile-MODE` builds one.

It is asked about a NIfTI input `scan` and answers with the mask `lesion` (scan > 0.5) or, in the modes that end in
`-probability`, with `malignancy`. It answers well but for every third case since its start (`crash-at-7`: every seventh).
`MODES` says of each mode what it does and how that case must end: `OK`, or the harness's failure code.

`python3 docker/hostile/model.py` prints the table. A mode runs in its image alone, and every attempt is bounded and leaves
nothing behind, so that a harness with a hole is found out and not hurt: no packet is sent and no file of others is changed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

MODES = {
    "correct": ("nothing wrong", "OK"),
    "correct-probability": ("nothing wrong", "OK"),
    # It does not answer, or not as agreed.
    "exits-at-start": ("exits with status 4 before it is ready", "STARTUP_FAILED"),
    "never-ready": ("never says that it is ready", "STARTUP_FAILED"),
    "never-answers": ("sleeps", "TIMEOUT"),
    "wrong-case": ("answers for a case that it was not asked about, then sleeps", "TIMEOUT"),
    "closes-stdout": ("closes its side of the conversation and stays", "TIMEOUT"),
    "crash-at-7": ("exits with status 3, without a word", "NONZERO_EXIT"),
    "exits-with-0": ("exits as if all were well", "NO_OUTPUT"),
    "oom": ("takes memory until it is stopped, 4 GB at most", "OOM_KILLED"),
    "model-error": ("raises an exception", "MODEL_ERROR"),
    "nasty-message": ("answers with an error of markup, control characters and much text, then once more", "MODEL_ERROR"),
    "ignores-the-end": ("stays when there are no more cases, deaf to SIGTERM", "OK"),
    # It answers, and what it wrote is wrong.
    "no-output": ("says ok and writes nothing", "NO_OUTPUT"),
    "garbage": ("writes random bytes as .nii.gz", "MALFORMED_OUTPUT"),
    "garbage-probability": ("writes what is not JSON", "MALFORMED_OUTPUT"),
    "text-probability": ("writes the probability as text", "MALFORMED_OUTPUT"),
    "wrong-shape": ("leaves the last slice away", "WRONG_GEOMETRY"),
    "wrong-place": ("moves the grid by ten voxels", "WRONG_GEOMETRY"),
    "nan": ("writes NaN into the mask", "MALFORMED_OUTPUT"),
    "nan-probability": ("writes NaN", "MALFORMED_OUTPUT"),
    "out-of-range": ("writes a mask of 0 and 255", "MALFORMED_OUTPUT"),
    "out-of-range-probability": ("writes 1.7", "MALFORMED_OUTPUT"),
    "two-outputs": ("writes lesion.nii and lesion.nii.gz", "MALFORMED_OUTPUT"),
    # It answers, and what it wrote is an attack.
    "huge-output": ("writes beside its answer 256 MB in one file, or as much as it may", "OUTPUT_TOO_LARGE"),
    "sparse-output": ("writes beside its answer two files of 1 TB without content, or as long as it may", "OUTPUT_TOO_LARGE"),
    "many-files": ("writes 20,000 empty files beside its answer", "OUTPUT_TOO_LARGE"),
    "deep-folders": ("nests 3,000 folders beside its answer", "OUTPUT_TOO_LARGE"),
    "long-paths": ("nests folders until no path is short enough to name them", "OUTPUT_TOO_LARGE"),
    "messy": ("leaves files and folders beside its answer", "OK"),
    "restless": ("goes on making and deleting files after it has answered", "OK"),
    "bomb": ("writes 500 KB of gzip that unpack to 512 MB, on a grid of that size", "WRONG_GEOMETRY"),
    "symlink": ("its output is a link to /etc/passwd", "MALFORMED_OUTPUT"),
    "symlink-to-input": ("its output is a link to the scan", "MALFORMED_OUTPUT"),
    "fifo": ("its output is a pipe that nobody writes to", "MALFORMED_OUTPUT"),
    "folder-output": ("its output is a folder", "MALFORMED_OUTPUT"),
    "lease": ("holds a lease on its output, so that to open it would wait", "MALFORMED_OUTPUT"),
    "holds-deleted": ("holds up to 60 MB of disk in files that it has deleted", "OK"),
    # It talks too much.
    "stray-prints": ("prints text, bytes and lines that look like the protocol, to both streams", "OK"),
    "floods-stdout": ("prints 20 MB of lines on standard output", "OK"),
    "floods-stderr": ("prints 200 MB on standard error", "OK"),
    "endless-line": ("prints 200 MB on standard output without an end of line", "OK"),
    # It tries to get out, and answers with an error where it succeeds.
    "network": ("looks for network interfaces and routes", "OK"),
    "writes-root": ("opens files of the root, the program, the inputs and the devices for writing", "OK"),
    "privileges": ("looks for root, capabilities and a way to gain them", "OK"),
    "peeks": ("looks for other cases and for outputs of earlier ones", "OK"),
    "swaps-folder": ("puts a link to /input in the place of its output folder", "OK"),
    "fork-bomb": ("starts up to 500 processes", "OK"),
    "fills-tmp": ("writes up to 1 GB to /tmp", "OK"),
    # Contract `folder`.
    "folder-correct": ("answers all cases in one go", "OK"),
    "folder-crash-at-7": ("exits with status 3 at the seventh case", "NONZERO_EXIT"),
    "folder-never-ends": ("answers all cases, then sleeps", "OK"),
}

MODE = os.environ.get("MODE", "")
AT = 7 if MODE.endswith("crash-at-7") else 3
MB = b"\0" * 1_000_000
SHIFT = [[1, 0, 0, 10], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
seen = 0
HELD = []


def predict(inputs):
    global seen
    seen += 1
    case = inputs["scan"].parent
    folder = case.parents[1] / "output" / case.name
    if seen % AT == 0 and MODE in MISDEEDS:
        return MISDEEDS[MODE](inputs["scan"], folder)
    return answer(inputs["scan"])


def answer(scan):
    image, mask = lesion(scan)
    if MODE.endswith("-probability"):
        return {"malignancy": float(min(1.0, 4 * mask.mean()))}
    return {"lesion": as_nifti(mask.astype("uint8"), image.affine)}


def lesion(scan):
    import nibabel

    image = nibabel.load(scan)
    return image, image.get_fdata() > 0.5


def as_nifti(array, affine):
    import nibabel

    return nibabel.Nifti1Image(array, affine)


def writes(name, content):
    """A misdeed: write these bytes as an output."""

    def misdeed(scan, folder):
        (folder / name).write_bytes(content)
        return {}

    return misdeed


def changes(change):
    """A misdeed: change the right mask and affine before they are written."""

    def misdeed(scan, folder):
        image, mask = lesion(scan)
        return {"lesion": as_nifti(*change(mask, image.affine))}

    return misdeed


def places(place):
    """A misdeed: put something that is no file in the place of the output."""

    def misdeed(scan, folder):
        place(folder / "lesion.nii.gz", scan)
        return {}

    return misdeed


def also(deed):
    """A misdeed: do something, and then answer well."""

    def misdeed(scan, folder):
        deed(folder)
        return answer(scan)

    return misdeed


def never_again(*_):
    time.sleep(1_000_000)


def tell(text):
    """Print on the standard output that the container had before `serve` took it over."""
    os.write(STDOUT, text if isinstance(text, bytes) else text.encode())


def wrong_case(scan, folder):
    tell('{"tef": 1, "case": "another", "status": "ok"}\n')
    never_again()


def closes_stdout(scan, folder):
    os.closerange(3, 256)
    never_again()


def takes_memory(scan, folder):
    taken = [bytearray(b"\1" * 16_000_000) for _ in range(250)]
    raise RuntimeError(f"took {len(taken)} times 16 MB and was not stopped")


def raises(scan, folder):
    raise ValueError(f"does not like {scan}")


def nasty_message(scan, folder):
    message = "<script>alert(1)</script> \x1b[31m{{7*7}} ${HOME} \u202e " + "x" * 30_000
    tell(json.dumps({"tef": 1, "case": folder.name, "status": "error", "message": message + "\n"}) + "\n")
    return {}


def two_outputs(scan, folder):
    outputs = answer(scan)
    outputs["lesion"].to_filename(folder / "lesion.nii")
    return outputs


def huge_output(folder):
    try:
        with (folder / "more.bin").open("wb", buffering=0) as file:
            for _ in range(256):
                file.write(MB)
    except OSError as error:
        print("huge-output:", error)


def sparse_output(folder):
    for name in ("more.bin", "still-more.bin"):
        with (folder / name).open("wb") as file:
            for exponent in range(40, 10, -1):
                try:
                    file.truncate(2**exponent)
                    break
                except OSError as error:
                    print(f"sparse-output: 2**{exponent}: {error}")


def many_files(folder):
    for number in range(20_000):
        (folder / f"{number}.txt").touch()


def nests(depth, name):
    def deed(folder):
        here = os.open(folder, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        time.sleep(1)

    return deed


def messy(folder):
    (folder / "log").mkdir()
    (folder / "log" / "model.txt").write_text("done\n")
    (folder / "thumbnail.txt").write_text("none\n")
    (folder / "log").chmod(0o500)


def restless(folder):
    import threading

    def make_and_delete():
        while folder.exists():
            try:
                (folder / "a").touch()
                (folder / "a").unlink()
            except OSError:
                return

    threading.Thread(target=make_and_delete, daemon=True).start()


def lease(scan, folder):
    import fcntl

    answer(scan)["lesion"].to_filename(folder / "lesion.nii.gz")
    HELD.append((folder / "lesion.nii.gz").open("rb+"))
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    fcntl.fcntl(HELD[-1], fcntl.F_SETLEASE, fcntl.F_WRLCK)
    return {}


def holds_deleted(folder):
    try:
        for number in range(40):
            HELD.append((folder / f"{number}").open("wb"))
            (folder / f"{number}").unlink()
            HELD[-1].write(MB + MB[:500_000])
            HELD[-1].flush()
            time.sleep(0.05)
    except OSError as error:
        print("holds-deleted:", error)


def bomb(scan, folder):
    import gzip

    header = as_nifti(lesion(scan)[1].astype("uint8"), None).header
    header.set_data_shape((1024, 1024, 512))
    zeros = gzip.compress(b"\0" * 1_048_576)
    (folder / "lesion.nii.gz").write_bytes(gzip.compress(header.binaryblock + b"\0\0\0\0") + zeros * 512)
    return {}


def stray_prints(folder):
    print("loading model, 100 %", flush=True)
    os.write(1, b"native code says hello\n")
    os.write(2, b"\xff\xfe\x00 not UTF-8\n")
    tell(
        b'\n\xff\xfe\x00 not UTF-8\n[1, 2]\nnull\n"text"\n{"tef": 2}\n{"tef": 1}\n{not json}\n{"case": "' + b"[" * 5_000 + b"\n"
    )
    subprocess.run(["sh", "-c", "echo a child; echo its error >&2; cat"], check=False)


def flood(descriptor, line, total_mb):
    def deed(folder):
        data = line * (1_000_000 // len(line))
        for _ in range(total_mb):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor(), rest) :]
        os.write(descriptor(), b"\n")

    return deed


def escapes(*attempts):
    """A deed that raises where one of the attempts succeeds; an attempt fails with OSError."""

    def deed(folder):
        for attempt in attempts:
            try:
                found = attempt(folder)
            except OSError as error:
                print(f"{MODE}: {error}")
            else:
                if found is not False:
                    raise RuntimeError(f"{MODE}: got out: {attempt.__name__} {found}")

    return deed


def opens(path):
    def attempt(folder):
        there = Path(path).exists()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        if not there:
            os.unlink(path)
        return path

    return attempt


def routes(family, address):
    def attempt(folder):
        with socket.socket(family, socket.SOCK_DGRAM) as packets:
            packets.connect((address, 9))  # asks the kernel for a route and sends nothing
        return address

    return attempt


def interfaces(folder):
    up = [name for _, name in socket.if_nameindex() if int(Path(f"/sys/class/net/{name}/flags").read_text(), 16) & 1]
    return [name for name in up if name != "lo"] or False


def privileged(folder):
    status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    gains = {key: status[key].strip() for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    sealed = os.getuid() == 65534 and os.getgid() == 65534 and not any(int(value, 16) for value in gains.values())
    return False if sealed and status["NoNewPrivs"].strip() == "1" else {"uid": os.getuid(), **gains}


def becomes_root(folder):
    os.setuid(0)


def peeks(folder):
    roots = (Path("/input"), Path("/output"))
    others = [path for root in roots for path in root.iterdir() if path.name != folder.name]
    left = list(folder.iterdir())
    return others or left or False


def swaps_folder(folder):
    folder.rmdir()
    folder.symlink_to("/input")


def fork_bomb(folder):
    children = []
    try:
        for _ in range(500):
            children.append(os.fork())
            if children[-1] == 0:
                signal.pause()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def fills_tmp(folder):
    files = []
    try:
        for number in range(1_000):
            files.append(Path(f"/tmp/fill-{number}"))
            files[-1].write_bytes(MB)
    finally:
        for file in files:
            file.unlink(missing_ok=True)


MISDEEDS = {
    "never-answers": never_again,
    "wrong-case": wrong_case,
    "closes-stdout": closes_stdout,
    "crash-at-7": lambda *_: os._exit(3),
    "exits-with-0": lambda *_: os._exit(0),
    "oom": takes_memory,
    "model-error": raises,
    "nasty-message": nasty_message,
    "no-output": lambda *_: {},
    "garbage": writes("lesion.nii.gz", os.urandom(1_000)),
    "garbage-probability": writes("malignancy.json", b"{probability: maybe"),
    "text-probability": writes("malignancy.json", b'{"probability": "0.5"}'),
    "wrong-shape": changes(lambda mask, affine: (mask[..., :-1].astype("uint8"), affine)),
    "wrong-place": changes(lambda mask, affine: (mask.astype("uint8"), affine @ SHIFT)),
    "nan": changes(lambda mask, affine: ((mask / mask).astype("float32"), affine)),
    "nan-probability": writes("malignancy.json", b'{"probability": NaN}'),
    "out-of-range": changes(lambda mask, affine: (mask.astype("uint8") * 255, affine)),
    "out-of-range-probability": writes("malignancy.json", b'{"probability": 1.7}'),
    "two-outputs": two_outputs,
    "huge-output": also(huge_output),
    "sparse-output": also(sparse_output),
    "many-files": also(many_files),
    "deep-folders": also(nests(3_000, "d")),
    "long-paths": also(nests(40, "d" * 200)),
    "messy": also(messy),
    "restless": also(restless),
    "lease": lease,
    "holds-deleted": also(holds_deleted),
    "bomb": bomb,
    "symlink": places(lambda path, scan: path.symlink_to("/etc/passwd")),
    "symlink-to-input": places(lambda path, scan: path.symlink_to(scan)),
    "fifo": places(lambda path, scan: os.mkfifo(path)),
    "folder-output": places(lambda path, scan: path.mkdir()),
    "stray-prints": also(stray_prints),
    "floods-stdout": also(flood(lambda: STDOUT, b"x" * 99 + b"\n", 20)),
    "floods-stderr": also(flood(lambda: 2, b"x" * 99 + b"\n", 200)),
    "endless-line": also(flood(lambda: STDOUT, b"x", 200)),
    "network": also(escapes(interfaces, routes(socket.AF_INET, "192.0.2.1"), routes(socket.AF_INET6, "2001:db8::1"))),
    "writes-root": also(escapes(*map(opens, ("/x", "/etc/passwd", "/app/model.py", "/input/x", "/dev/x", "/sys/x")))),
    "privileges": also(escapes(privileged, becomes_root)),
    "peeks": also(escapes(peeks)),
    "swaps-folder": also(escapes(swaps_folder)),
    "fork-bomb": also(escapes(fork_bomb)),
    "fills-tmp": also(escapes(fills_tmp)),
    "folder-crash-at-7": lambda *_: os._exit(3),
}


def main():
    if not MODE:
        print("\n".join(f"{mode:26} {code:17} {what}" for mode, (what, code) in MODES.items()))
    elif MODE not in MODES:
        sys.exit(f"hostile/model.py: {MODE}: unknown mode; known are {', '.join(MODES)}")
    elif Path(__file__) != Path("/app/model.py"):
        sys.exit("hostile/model.py: runs in its image alone; docker/build.sh hostile-MODE builds one")
    elif MODE == "exits-at-start":
        sys.exit(4)
    elif MODE == "never-ready":
        never_again()
    else:
        run()


def run():
    from tef_model import serve, serve_folder

    (serve_folder if MODE.startswith("folder-") and MODE != "folder-output" else serve)(predict)
    if MODE in ("ignores-the-end", "folder-never-ends"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        never_again()


if __name__ == "__main__":
    STDOUT = os.dup(1)
    main()
