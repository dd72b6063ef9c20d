"""The data sets by name. A data set is one file with one `FaceBuilder`, and its line here."""

from importlib import import_module
from typing import Any

from expressnet_jax.errors import UserError

# The version of what is written for every data set; a change of meaning or of layout raises it.
FORMAT_VERSION = "1.0.0"

DATASETS: dict[str, str] = {
    "fer2013": "expressnet_jax.data.datasets.fer2013:Fer2013",
    "ferplus": "expressnet_jax.data.datasets.ferplus:FerPlus",
    "rafdb": "expressnet_jax.data.datasets.rafdb:RafDb",
    "affectnet": "expressnet_jax.data.datasets.affectnet:AffectNet",
    "ckplus": "expressnet_jax.data.datasets.ckplus:CkPlus",
    "jaffe": "expressnet_jax.data.datasets.jaffe:Jaffe",
    "expw": "expressnet_jax.data.datasets.expw:ExpW",
    "lfw_expression": "expressnet_jax.data.datasets.lfw_expression:LfwExpression",
    "identity": "expressnet_jax.data.datasets.identity:Identity",
    "ravdess": "expressnet_jax.data.datasets.ravdess:Ravdess",
    "cremad": "expressnet_jax.data.datasets.cremad:CremaD",
    "emodb": "expressnet_jax.data.datasets.emodb:EmoDb",
    "dfew": "expressnet_jax.data.datasets.dfew:Dfew",
    "afew": "expressnet_jax.data.datasets.afew:Afew",
    "oulu_casia": "expressnet_jax.data.datasets.oulu_casia:OuluCasia",
    "meld_faces": "expressnet_jax.data.datasets.meld_faces:MeldFaces",
    "afew_va": "expressnet_jax.data.datasets.afew_va:AfewVa",
    "disfa": "expressnet_jax.data.datasets.disfa:Disfa",
    "bp4d": "expressnet_jax.data.datasets.bp4d:Bp4d",
    "megc2019": "expressnet_jax.data.datasets.megc2019:Megc2019",
    "uci_gfe": "expressnet_jax.data.datasets.uci_gfe:UciGfe",
    "goemotions": "expressnet_jax.data.datasets.goemotions:GoEmotions",
    "meld": "expressnet_jax.data.datasets.meld:Meld",
    "meshes": "expressnet_jax.data.datasets.meshes:Meshes",
    "bu3dfe": "expressnet_jax.data.datasets.bu3dfe:Bu3dfe",
    "ict_face": "expressnet_jax.data.datasets.ict_face:IctFace",
    "synthetic": "expressnet_jax.data.datasets.synthetic:Synthetic",
    "folder": "expressnet_jax.data.datasets.folder:Folder",
}

# What `prepare` reads of each, in a line; the modules have the details.
SOURCES: dict[str, str] = {
    "fer2013": "fer2013.csv, icml_face_data.csv, train.csv (+ test.csv), or train/ and test/ with class folders",
    "ferplus": "fer2013.csv + fer2013new.csv, FER2013Train/ ... with label.csv, or split and class folders",
    "rafdb": "EmoLabel/ + Image/aligned/, or train/ and test/ (or valid/) with classes 1..7 or by name, JPEG or PNG",
    "affectnet": "training.csv + validation.csv, train_set/ + val_set/, class folders (names, 0..7; labels.csv), YOLO",
    "ckplus": "cohn-kanade-images/ + Emotion/, class folders (CK+48/), or ckextended.csv",
    "jaffe": "files like KA.AN1.39.tiff (or .png, .jpg)",
    "expw": "label/label.lst + image/origin/",
    "lfw_expression": "legend.csv + images/",
    "identity": "a folder for each person, or legend.csv + images/",
    "ravdess": "Actor_01/03-01-05-01-01-01-01.wav, ... (speech; openface.npz with action units may lie next to them)",
    "cremad": "AudioWAV/ with files like 1001_DFA_ANG_XX.wav",
    "emodb": "wav/ with files like 03a01Fa.wav",
    "dfew": "EmoLabel_DataSplit/ with the lists of the folds + Clip/ with frames or videos",
    "afew": "Train_AFEW/ and Val_AFEW/ with class folders of videos, or of folders of frames",
    "oulu_casia": "VL/Strong/P001/Anger/ ... with frames from neutral to the peak",
    "meld_faces": "the files of meld, each text paired by its label with a prepared face (faces=fer2013)",
    "afew_va": "001/001.json with valence and arousal + 001/00000.png, ... (frames of 600 clips)",
    "disfa": "ActionUnit_Labels/SN001/SN001_au1.txt, ... + Videos_LeftCamera/, or folders of frames SN001/",
    "bp4d": "AUCoding/AU_OCC/F001_T1.csv, ... + 2D+3D/F001/T1/0001.jpg, ... (or Sequences/, or cut faces)",
    "megc2019": "a table with onset, apex, label, subject of micro-expressions, or micro.npz with their optical flow",
    "uci_gfe": "a_affirmative_datapoints.txt + a_affirmative_targets.txt, ... (100 points a frame)",
    "goemotions": "train.tsv, dev.tsv, test.tsv + emotions.txt and ekman_mapping.json, or labels.txt of ekman/ (texts)",
    "meld": "train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv (texts)",
    "meshes": "class folders of meshes or point clouds: OBJ, PLY, OFF, STL, VRML",
    "bu3dfe": "F0001/F0001_AN01WH_F3D.wrl, ... (scans of faces)",
    "ict_face": "ict_face_narrow.npz (a morphable face: its people and expressions are generated)",
    "synthetic": "nothing: its images are drawn",
    "folder": "class folders of images, of recordings or of videos; a list with path and label (CSV, any delimiter and"
    " encoding; JSON lines); metadata.csv or .jsonl; Parquet of the Hugging Face hub",
}


def builder_class(name: str) -> type[Any]:
    """Return the builder of a data set, imported only now.

    Raises:
      UserError: for a name that is not in `DATASETS`; it lists those that are.
    """
    if name not in DATASETS:
        raise UserError(f"no data set {name!r}; the data sets are: {', '.join(DATASETS)}")
    module, attribute = DATASETS[name].split(":")
    return getattr(import_module(module), attribute)
