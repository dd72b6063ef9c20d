"""DISFA, BP4D and AFEW-VA in tiny trees of their official layouts: units, intensities, valence and arousal by frame."""

import json

import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.datasets.bp4d import INTENSITIES
from expressnet_jax.data.datasets.bp4d import UNITS as BP4D_UNITS
from expressnet_jax.data.datasets.disfa import UNITS
from expressnet_jax.data.decode import decode_all
from expressnet_jax.data.fields import target_column, target_fields
from expressnet_jax.data.prepare import prepare
from expressnet_jax.errors import UserError
from test_clip_datasets import video_of

RNG = np.random.default_rng(0)


def write_image(path, gray, size=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, gray, np.uint8)).convert("RGB").save(path)


def grays(split):
    return np.round(decode_all(split, (8, 8), 1).reshape(len(split), -1).mean(1) / 10).astype(int).tolist()


def fields_of(prepared):
    split = prepared.split("all")
    return split, target_fields(split.classes, split.columns, prepared.facts["notes"], split.targets)


def write_disfa(root, frames=6):
    """Two people, one with a video and one with images; intensities [frames,U] by person."""
    levels = {person: RNG.integers(0, 6, (frames, len(UNITS))) for person in ("SN001", "SN002")}
    levels["SN001"][3] = 1
    for person, rows in levels.items():
        for column, unit in enumerate(UNITS):
            path = root / f"ActionUnit_Labels/{person}/{person}_au{unit}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{i},{row[column]}\n" for i, row in enumerate(rows, start=1)))
    video_of(root / "Videos_LeftCamera/LeftVideoSN001_comp.avi", frames)
    for i in range(frames):
        write_image(root / f"Cut/SN002/frame{i + 1}.png", 10 * (i + 10))
    return levels


def test_disfa_has_units_and_intensities_of_frames_of_a_video_or_of_images(tmp_path):
    levels = write_disfa(tmp_path / "DISFA", 11)
    prepared = prepare("disfa", tmp_path, tmp_path / "data")
    split, fields = fields_of(prepared)
    assert split.subjects.tolist() == ["SN001"] * 11 + ["SN002"] * 11
    assert grays(split) == [*range(11), *range(10, 21)]  # frame10 comes behind frame9
    expected = np.concatenate([levels["SN001"], levels["SN002"]])
    np.testing.assert_array_equal(target_column("au_intensity", fields["au_intensity"], split.columns), expected)
    shown = target_column("action_units", fields["action_units"], split.columns)
    np.testing.assert_array_equal(shown, expected >= 2)
    assert fields["action_units"].kind == "multilabel" and fields["action_units"].names[:2] == ("AU01", "AU02")
    assert split.labels.tolist() == (expected >= 2).any(1).astype(int).tolist() and split.labels[3] == 0
    thin = prepare("disfa", tmp_path, tmp_path / "thin", every=3).split("all")
    assert thin.keys.tolist() == [f"SN00{p}/{i:05d}" for p in (1, 2) for i in (1, 4, 7, 10)]
    (tmp_path / "DISFA/Cut/SN002/frame5.png").unlink()  # no face was found there
    split, fields = fields_of(prepare("disfa", tmp_path / "DISFA", tmp_path / "gap"))
    found = target_column("au_intensity", fields["au_intensity"], split.columns)
    np.testing.assert_array_equal(found[11:], np.delete(levels["SN002"], 4, axis=0))
    assert split.keys[15] == "SN002/00006"


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("ActionUnit_Labels/SN001/SN001_au4.txt", "1,7\n", "SN001_au4.txt row 1: 7 is not one of 0, 1, 2, 3, 4, 5"),
        ("ActionUnit_Labels/SN001/SN001_au4.txt", "1,0\n", "SN001_au4.txt: has not one intensity for each frame"),
        ("ActionUnit_Labels/SN001/SN001_au4.txt", "1,0\n2;0\n", "SN001_au4.txt row 2: '2;0' are no whole numbers"),
        ("ActionUnit_Labels/SN003/SN003_au1.txt", "1,0\n", "neither a video LeftVideoSN003_comp.avi nor frames"),
    ],
)
def test_faults_of_disfa_are_named(file, content, named, tmp_path):
    write_disfa(tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=named):
        prepare("disfa", tmp_path, tmp_path / "data")


def write_bp4d(root):
    """Two tasks of one person and one of another; the columns of a file are more units than papers report."""
    units, shown = (1, 2, 3, *BP4D_UNITS[2:], 27), {}
    for name in ("F001_T1", "F001_T7", "M002_T8"):
        rows = RNG.choice([0, 1, 9], (3, len(units)))
        shown[name] = rows[:, [units.index(unit) for unit in BP4D_UNITS]].astype(float)
        head = ",".join(map(str, ("Frame" if "M002" in name else 0, *units)))
        lines = [head, *(f"{7 + i},{','.join(map(str, row))}" for i, row in enumerate(rows))]
        path = root / f"AUCoding/AU_OCC/{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
        for i in range(6, 12):  # frame 6 is before and 10 and 11 are behind the coded ones
            write_image(root / f"2D+3D/{name.replace('_', '/')}/{i:04d}.jpg", 10 * i)
    for unit in INTENSITIES:
        path = root / f"AUCoding/AU_INT/AU{unit:02d}/F001_T1_AU{unit:02d}.csv"
        path.parent.mkdir(parents=True)
        path.write_text("7,0\n8,9\n9,5\n")
    return shown


def test_bp4d_has_coded_frames_and_says_where_nobody_knows(tmp_path):
    shown = write_bp4d(tmp_path / "BP4D")
    for image in tmp_path.rglob("*.jpg"):  # its mesh, and what colours it
        image.with_suffix(".obj").write_text("v 0 0 0\n")
        image.with_suffix(".mtl").write_text("newmtl face\n")
        image.with_suffix(".bnd").write_text("0 0 0\n")
    split, fields = fields_of(prepare("bp4d", tmp_path, tmp_path / "data"))
    assert grays(split) == [7, 8, 9] * 3 and split.subjects.tolist() == ["F001"] * 6 + ["M002"] * 3
    assert [split.classes[i] for i in split.labels[::3]] == ["happiness", "anger", "disgust"]
    expected = np.concatenate(list(shown.values()))
    expected[expected == 9] = np.nan
    np.testing.assert_array_equal(target_column("action_units", fields["action_units"], split.columns), expected)
    strong = target_column("au_intensity", fields["au_intensity"], split.columns)
    np.testing.assert_array_equal(strong[:3], np.array([[0], [np.nan], [5]]) * np.ones(5))
    assert np.isnan(strong[3:]).all() and fields["au_intensity"].names[0] == "AU06"


def test_faults_of_bp4d_are_named(tmp_path):
    write_bp4d(tmp_path)
    path = tmp_path / "AUCoding/AU_OCC/F001_T1.csv"
    lines = path.read_text().splitlines()
    for content, named in (
        (lines[0].replace("0,1,", "0,5,", 1), "F001_T1.csv row 1: no column of unit 1"),
        (f"{lines[0]}\n7,1", "F001_T1.csv: frame 7 has other values than 0, 1 and 9"),
    ):
        path.write_text(content + "\n")
        with pytest.raises(UserError, match=named):
            prepare("bp4d", tmp_path, tmp_path / "data")
    path.unlink()
    (tmp_path / "2D+3D/F001").rename(tmp_path / "2D+3D/elsewhere")
    with pytest.raises(UserError, match=r"no images like F001/T7/0001.jpg"):
        prepare("bp4d", tmp_path, tmp_path / "data")


def write_clip(folder, actor, said):
    points = [[10 + 10 * (i % 2), 6 + 8 * (i // 34)] for i in range(68)]  # x from 10 to 20, y from 6 to 14
    frames = {}
    for i, (valence, arousal) in enumerate(said):
        image = np.zeros((40, 48, 3), np.uint8)
        image[3:18, 8:23] = 10 * (i + 5)  # landmarks' square and a quarter of it on each side
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:05d}.png")
        frames[f"{i:05d}"] = {"landmarks": points, "valence": valence, "arousal": arousal}
    text = json.dumps({"actor": actor, "frames": frames, "video_id": folder.name})
    (folder / f"{folder.name}.json").write_text(text)


def test_afew_va_has_faces_with_valence_and_arousal_and_actors(tmp_path):
    said = [(10.0, -5.0), (-2.0, 0.0)]
    write_clip(tmp_path / "AFEW-VA/12/567", "B", [(0.0, 3.0)])
    write_clip(tmp_path / "AFEW-VA/01/004", "A", said)
    split, fields = fields_of(prepare("afew_va", tmp_path, tmp_path / "data"))
    assert split.keys.tolist() == ["004/00000", "004/00001", "567/00000"] and split.subjects.tolist() == ["A", "A", "B"]
    found = target_column("valence_arousal", fields["valence_arousal"], split.columns)
    np.testing.assert_allclose(found, np.array([*said, (0.0, 3.0)]) / 10, atol=1e-6)
    assert [split.classes[i] for i in split.labels] == ["pleasant_calm", "unpleasant_active", "pleasant_active"]
    assert grays(split) == [5, 6, 5]  # the face alone
    write_clip(tmp_path / "AFEW-VA/01/004", "A", [(11.0, 0.0)])
    with pytest.raises(UserError, match=r"frame 00000: valence is '11.0', not a number from -10 to 10"):
        prepare("afew_va", tmp_path, tmp_path / "data")
    (tmp_path / "AFEW-VA/01/004/004.json").write_text("{}")
    with pytest.raises(UserError, match=r"004.json: no annotations"):
        prepare("afew_va", tmp_path, tmp_path / "data")
