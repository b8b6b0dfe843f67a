"""Masks in NIfTI files: read right in any axis order, and refused when wrong, damaged or hostile."""

import gzip
import itertools
import tracemalloc

import numpy as np
import pytest

from tef.readers import Grid, UnreadableOutput, Volume, check_output, read_mask, same_grid
from tef.readers.nifti import read_grid, read_image

AFFINE = np.array([[0.8, 0, 0, -10], [0, 0.9, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1.0]])
MASK = np.zeros((4, 5, 6), dtype=np.uint8)
MASK[1, 2, 3] = MASK[1, 2, 4] = 1


def save(folder, array, affine=AFFINE, name="tumour.nii.gz"):
    """Write a NIfTI file."""
    import nibabel

    path = folder / name
    nibabel.save(nibabel.Nifti1Image(array, affine, dtype=array.dtype), path)
    return path


def patched(path, offset, content):
    """Overwrite some bytes of the header of a compressed file."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[offset : offset + len(content)] = content
    path.write_bytes(gzip.compress(bytes(raw)))
    return path


@pytest.mark.parametrize("name", ["tumour.nii", "tumour.nii.gz"])
def test_a_mask_is_read_with_its_place_in_the_patient(tmp_path, name):
    """Voxels as bool; the affine turned from NIfTI's RAS to LPS; spacing in mm."""
    volume = read_mask(save(tmp_path, MASK, name=name), 1000)
    assert volume.array.dtype == bool
    assert np.argwhere(volume.array).tolist() == [[1, 2, 3], [1, 2, 4]]
    assert (volume.affine @ [1, 2, 3, 1])[:3] == pytest.approx([-(0.8 - 10), -(1.8 + 20), 39])
    assert volume.spacing_mm == pytest.approx((0.8, 0.9, 3))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.uint64, np.float32, np.float64, ">i2", ">f4"])
def test_any_number_type_may_hold_0_and_1(tmp_path, dtype):
    """Also floats and big-endian files."""
    array = MASK.astype(dtype)
    volume = read_mask(save(tmp_path, array), 1000)
    np.testing.assert_array_equal(volume.array, MASK == 1)


def test_a_mask_stored_with_a_scaling_is_read(tmp_path):
    """Floats under an integer header are stored as scaled integers, so that 0 and 1 come back off by rounding."""
    import nibabel

    image = nibabel.Nifti1Image(MASK.astype(np.float32), AFFINE)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "tumour.nii.gz")
    assert nibabel.load(tmp_path / "tumour.nii.gz").dataobj.slope != 1
    np.testing.assert_array_equal(read_mask(tmp_path / "tumour.nii.gz", 1000).array, MASK == 1)


def test_trailing_dimensions_of_one_are_dropped(tmp_path):
    """Many tools write a mask as 4 x 5 x 6 x 1."""
    assert read_mask(save(tmp_path, MASK[..., None]), 1000).array.shape == (4, 5, 6)


@pytest.mark.parametrize(
    ("order", "flips"), list(itertools.product(itertools.permutations(range(3)), itertools.product([False, True], repeat=3)))
)
def test_every_order_and_direction_of_axes_is_the_same_volume(tmp_path, order, flips):
    """All 48 ways to store one physical mask give the same array, the same affine and the same grid."""
    straight = read_mask(save(tmp_path, MASK, name="straight.nii"), 1000)
    axes = np.eye(4)[:, [*order, 3]]
    array, affine = MASK.transpose(order), AFFINE @ axes
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            affine[:, 3] += affine[:, axis] * (array.shape[axis] - 1)
            affine[:, axis] *= -1
    path = save(tmp_path, np.ascontiguousarray(array), affine, name="turned.nii")
    turned = read_mask(path, 1000)
    np.testing.assert_array_equal(turned.array, straight.array)
    assert same_grid(turned, straight) is None
    assert same_grid(read_grid(path), straight) is None


def test_grids_are_compared_by_their_corners():
    """None within a micrometre, else shape or millimetres, also where a small turn moves only the far corners."""
    grid = Grid((100, 100, 50), np.diag([1.0, 1.0, 2.0, 1.0]))

    def moved(**changes):
        affine = grid.affine.copy()
        for key, value in changes.items():
            affine["xyz".index(key[0]), "xyzt".index(key[1])] += value
        return Grid(grid.shape, affine)

    assert same_grid(moved(xt=9e-4), grid) is None
    assert same_grid(moved(xt=9e-4), grid, tolerance_mm=1e-4) is not None
    spacing = "(spacing 1 x 1 x 2 mm, the reference's 1 x 1 x 2 mm)"
    assert same_grid(moved(zt=5), grid) == f"a corner lies 5 mm from the reference's {spacing}"
    assert same_grid(moved(xy=1e-4), grid) == f"a corner lies 0.0099 mm from the reference's {spacing}"
    other = Volume(np.zeros((100, 100, 51), dtype=bool), grid.affine)
    assert same_grid(other, grid) == "shape is 100 x 100 x 51, the reference's 100 x 100 x 50"


def nan_mask():
    """One voxel is no number."""
    array = MASK.astype(np.float32)
    array[0, 0, 0] = np.nan
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (MASK * 2, "tumour.nii.gz: 2 voxels are neither 0 nor 1, the first is 2; a mask holds 0 and 1 alone"),
        (
            MASK.astype(np.float32) / 2,
            "tumour.nii.gz: 2 voxels are neither 0 nor 1, the first is 0.5; a mask holds 0 and 1 alone",
        ),
        (nan_mask(), "tumour.nii.gz: 1 voxels are neither 0 nor 1, the first is nan; a mask holds 0 and 1 alone"),
        (MASK[0], "tumour.nii.gz: has the dimensions 5 x 6; three, each at least 1"),
        (np.stack([MASK, MASK], axis=3), "tumour.nii.gz: has the dimensions 4 x 5 x 6 x 2; three, each at least 1"),
        (
            MASK.astype(np.complex64),
            "tumour.nii.gz: voxels are of type complex64; whole numbers or floats of at most 64 bits",
        ),
        (
            np.zeros((10, 10, 11), dtype=np.uint8),
            "tumour.nii.gz: declares 1100 voxels (10 x 10 x 11); at most 1000 are read",
        ),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, array, message):
    """The message says what the file holds."""
    with pytest.raises(UnreadableOutput) as error:
        read_mask(save(tmp_path, array), 1000)
    assert str(error.value) == message


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-20])


def _flipped(path):
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    path.write_bytes(bytes(raw))


def _shorter(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-7]))


def _longer(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"more"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncated, r"^tumour.nii.gz: the compressed file is damaged \(.*\); a complete gzip file$"),
        (_flipped, r"^tumour.nii.gz: the compressed file is damaged \(CRC check failed .*\); a complete gzip file$"),
        (_shorter, r"^tumour.nii.gz: ends after 113 of 120 bytes; a complete NIfTI file$"),
        (_longer, r"^tumour.nii.gz: holds more data than its header declares; header and voxels alone$"),
        (lambda p: p.write_bytes(b"not gzip at all"), r"^tumour.nii.gz: the compressed file is damaged \(Not a gzipped file"),
        (lambda p: p.write_bytes(b""), r"^tumour.nii.gz: ends after 0 of 4 bytes; a complete NIfTI file$"),
        (
            lambda p: p.write_bytes(gzip.compress(b"\0" * 500)),
            r"^tumour.nii.gz: is not a NIfTI file; a NIfTI-1 or NIfTI-2 file",
        ),
        (lambda p: patched(p, 70, b"\x63\x63"), r"^tumour.nii.gz: the NIfTI header is not valid \(.*\)"),
        (
            lambda p: patched(p, 344, b"ni1\0"),
            r"^tumour.nii.gz: is half of a NIfTI pair; one file that holds header and voxels$",
        ),
        (lambda p: patched(p, 42, b"\xff\xff"), r"^tumour.nii.gz: has the dimensions -1 x 5 x 6; three, each at least 1$"),
        (lambda p: patched(p, 40, b"\x09\x00"), r"^tumour.nii.gz: has the dimensions none; three, each at least 1$"),
        (lambda p: patched(p, 123, b"\x01"), r"^tumour.nii.gz: the header gives metres or microns; millimetres$"),
        (lambda p: patched(p, 108, np.float32(1e9).tobytes()), r"^tumour.nii.gz: voxels begin at byte 1000000000.0"),
        (lambda p: patched(p, 108, np.float32(np.nan).tobytes()), r"^tumour.nii.gz: voxels begin at byte nan; right behind"),
        (lambda p: patched(p, 108, np.float32(np.inf).tobytes()), r"^tumour.nii.gz: voxels begin at byte inf; right behind"),
        (lambda p: patched(p, 108, np.float32(352.5).tobytes()), r"^tumour.nii.gz: voxels begin at byte 352.5; right behind"),
        (lambda p: patched(p, 280, np.float32(np.nan).tobytes()), r"^tumour.nii.gz: the affine is not finite"),
        (
            lambda p: patched(p, 292, np.float32(1e38).tobytes()),
            r"^tumour.nii.gz: the affine is not finite, is beyond 1e\+09 mm",
        ),
        (
            lambda p: patched(p, 280, b"\0" * 12),
            r"^tumour.nii.gz: the affine is not finite, is beyond 1e\+09 mm or has an axis of no length",
        ),
        (lambda p: patched(p, 284, np.float32(0.5).tobytes()), r"^tumour.nii.gz: the axes are not at right angles"),
        (
            lambda p: patched(p, 112, np.float32([np.inf, 0]).tobytes()),
            r"^tumour.nii.gz: the header scales voxels by inf and adds 0",
        ),
    ],
)
def test_a_damaged_or_forged_file_is_refused(tmp_path, damage, message):
    """Cut, corrupted and hand-edited files each end in one line, never in a mask."""
    path = save(tmp_path, MASK)
    damage(path)
    with pytest.raises(UnreadableOutput, match=message):
        read_mask(path, 1000)


HOSTILE = [np.nan, np.inf, -np.inf, 0, -1, 0.5, 1e38, -1e38, 1e-38, 1e300]


def forged(raw, dtype, random):
    """One field of a header overwritten: a float, now and then, by a number that is hard to compute with, else by noise."""
    name = random.choice(dtype.names)
    field, offset = dtype.fields[name][:2]
    raw = bytearray(raw)
    with np.errstate(over="ignore"):
        numbers = np.array(HOSTILE).astype(field.base) if field.base.kind == "f" else None
    if numbers is not None and random.random() < 0.7:
        offset += field.base.itemsize * int(random.integers(field.itemsize // field.base.itemsize))
        content = random.choice(numbers).tobytes()
    else:
        content = random.bytes(field.itemsize)
    raw[offset : offset + len(content)] = content
    return name, raw


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("form", ["sform", "qform", "none"])
def test_no_forged_header_does_anything_but_be_read_or_refused(tmp_path, version, form):
    """Any other exception would end the whole run at one hostile file; a warning would too."""
    import nibabel

    image = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(MASK, AFFINE)
    image.header["sform_code"], image.header["qform_code"] = form == "sform", form == "qform"
    nibabel.save(image, tmp_path / "reference.nii")
    raw = (tmp_path / "reference.nii").read_bytes()
    output = tmp_path / "tumour.nii"
    random = np.random.default_rng(version)
    refused = 0
    for _ in range(300):
        field, content = forged(raw, image.header.template_dtype, random)
        output.write_bytes(content)
        for read in (
            lambda: check_output(output, "mask", tmp_path / "reference.nii"),
            lambda: read_mask(output, 1000),
            lambda: read_image(output, 1000),
        ):
            try:
                read()
            except UnreadableOutput:
                refused += 1
            except Exception as error:
                raise AssertionError(f"{field}: {bytes(content[:540]).hex()}") from error
    assert refused > 100


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    """A header that declares 2 GiB over 2 MB of compressed zeros costs no memory, whether in the voxels or before them."""
    path = save(tmp_path, MASK)
    with gzip.open(tmp_path / "zeros.gz", "wb") as stream:
        for _ in range(64):
            stream.write(bytes(2**20))
    path.write_bytes(path.read_bytes() + (tmp_path / "zeros.gz").read_bytes())
    patched_header = bytearray(gzip.decompress((save(tmp_path, MASK, name="b.nii.gz")).read_bytes()))
    patched_header[42:48] = np.array([2000, 1000, 1000], dtype="<i2").tobytes()
    bomb = tmp_path / "bomb.nii.gz"
    bomb.write_bytes(gzip.compress(bytes(patched_header)) + (tmp_path / "zeros.gz").read_bytes())
    tracemalloc.start()
    with pytest.raises(UnreadableOutput, match=r"^bomb.nii.gz: declares 2000000000 voxels"):
        read_mask(bomb, 10**6)
    with pytest.raises(UnreadableOutput, match=r"^tumour.nii.gz: holds more data than its header declares"):
        read_mask(path, 10**6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_only_the_header_is_needed_for_the_grid(tmp_path):
    """A file without voxels has a grid."""
    path = save(tmp_path, MASK)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:352]))
    assert read_grid(path).shape == (4, 5, 6)


def test_an_image_keeps_its_type_unless_the_file_scales_it(tmp_path):
    """int16 stays int16; scaled voxels become float32 with their real values."""
    array = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    np.testing.assert_array_equal(read_image(save(tmp_path, array)).array, array)
    path = patched(save(tmp_path, array), 112, np.float32([0.5, 10]).tobytes())
    scaled = read_image(path).array
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, array * 0.5 + 10)


def test_an_image_scaled_beyond_32_bits_is_refused(tmp_path):
    """It would be read as infinity."""
    path = patched(save(tmp_path, np.full((4, 5, 6), 1000, dtype=np.int16)), 112, np.float32([1e38, 0]).tobytes())
    with pytest.raises(UnreadableOutput, match=r"^tumour.nii.gz: voxels times 1e\+38 plus 0 are too large; values that fit 32"):
        read_image(path)
