"""Data sets of tensorflow-datasets, prepared here on the spot with the features of cifar10 and of celeb_a."""

import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from sde_vae.data.datasets.tfds import tfds
from sde_vae.data.datasets.tfds_features import CLASSES
from sde_vae.errors import BadInput
from tests.helpers.files import encoded, noise, options, stacked

library = pytest.importorskip("tensorflow_datasets")
N, TRAIN = 12, 8
IMAGES = noise(N, 32, 32)


def prepare(root, data_set, extra, example, split="test"):
    """Writes IMAGES as array_record, the first 8 to train; `example(i)` gives the values of the `extra` features."""
    features = {"image": library.features.Image(shape=(32, 32, 3)), **extra}

    class Pictures(library.core.GeneratorBasedBuilder, skip_registration=True):
        name = data_set
        VERSION = library.core.Version("3.0.2")

        def _info(self):
            return self.dataset_info_from_configs(features=library.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {"train": self._generate_examples(0, TRAIN), split: self._generate_examples(TRAIN, N)}

        def _generate_examples(self, start, stop):
            for i in range(start, stop):
                yield i, {"image": io.BytesIO(encoded(IMAGES[i])), **example(i)}

    Pictures(data_dir=root, file_format="array_record").download_and_prepare()
    return root


def cifar10(root):
    f = library.features
    extra = {"id": f.Text(), "label": f.ClassLabel(num_classes=10)}
    return prepare(root, "cifar10", extra, lambda i: {"id": f"train_{i}", "label": i % 10})


def load(root, name="cifar10", **changes):
    return tfds(name)(options(root, root.parent / "cache", **{"image_size": 32} | changes))


def by_label(split, n):
    """The library shuffles as it prepares: back in order, by a label that counts."""
    order = np.argsort(split.attributes[:, 0])
    assert len(order) == n
    return stacked(split.images)[order], split.attributes[order]


def test_cifar10_comes_back_exactly_without_tensorflow(tmp_path):
    data = load(cifar10(tmp_path / "tfds"))
    assert data.attributes == ("label",)
    assert set(data.splits) == {"train", "test"}
    images, labels = by_label(data.split("train"), TRAIN)
    np.testing.assert_array_equal(images, IMAGES[:TRAIN])
    np.testing.assert_array_equal(labels[:, 0], np.arange(TRAIN))
    assert {x.tobytes() for x in stacked(data.split("test").images)} == {x.tobytes() for x in IMAGES[TRAIN:]}
    assert "tensorflow" not in sys.modules


def test_the_attributes_of_celeb_a(tmp_path):
    f, bits = library.features, lambda i: {"Bald": i % 2 == 1, "Young": i // 2 % 2 == 1}
    extra = {
        "attributes": {"Bald": np.bool_, "Young": np.bool_},
        "landmarks": {"nose_x": np.int64},
        "sizes": f.Sequence({"w": np.int64}),
        "score": np.float32,
    }
    prepare(
        tmp_path / "tfds",
        "celeb_a",
        extra,
        lambda i: {"attributes": bits(i), "landmarks": {"nose_x": i}, "sizes": [{"w": 1}], "score": 0.5},
        split="validation",
    )
    data = load(tmp_path / "tfds", "celeb_a")
    assert data.attributes == ("Bald", "Young", "nose_x")
    assert set(data.splits) == {"train", "valid"}
    for name, numbers in (("train", np.arange(TRAIN)), ("valid", np.arange(TRAIN, N))):
        split = data.split(name)
        order = np.argsort(split.attributes[:, 2])
        np.testing.assert_array_equal(split.attributes[order], np.stack([numbers % 2, numbers // 2 % 2, numbers], 1))
        np.testing.assert_array_equal(stacked(split.images)[order], IMAGES[numbers])


def test_crop_and_resize_and_cache(tmp_path):
    root = cifar10(tmp_path / "tfds")
    for _ in range(2):  # built, and reopened
        images, _ = by_label(load(root, crop=16, image_size=16).split("train"), TRAIN)
        np.testing.assert_array_equal(images, IMAGES[:TRAIN, 8:24, 8:24])
    assert len(list((tmp_path / "cache").iterdir())) == 2


COMMAND = (
    'pip install -e ".[tfds]" tensorflow && python -c "import tensorflow_datasets as tfds; '
    "tfds.builder('cifar10', data_dir='{}', file_format='array_record').download_and_prepare()\""
)


def refused(match, root, name="cifar10", **changes):
    with pytest.raises(BadInput, match=match) as error:
        load(root, name, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_not_prepared_says_what_prepares_it(tmp_path):
    assert COMMAND.format(tmp_path) in refused("has no cifar10/ as array_record", tmp_path)
    with pytest.raises(BadInput, match=r"config\.data\.dir: not given; .*" + re.escape(COMMAND.format("DIR"))):
        tfds("cifar10")(options(None, tmp_path))


def test_a_build_that_was_killed_is_not_prepared(tmp_path):
    version = cifar10(tmp_path / "tfds") / "cifar10" / "3.0.2"
    version.rename(version.with_name("incomplete.ABC_3.0.2"))
    refused("has no cifar10/ as array_record", tmp_path / "tfds")


def test_prepared_as_tfrecord(tmp_path):
    root = cifar10(tmp_path / "tfds")
    info = root / "cifar10" / "3.0.2" / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    message = refused("holds cifar10 as tfrecord, which needs TensorFlow", root)
    assert COMMAND.format(root / "array_record") in message


def test_several_versions_and_the_choice_of_one(tmp_path):
    root = cifar10(tmp_path / "tfds")
    (root / "cifar10" / "3.0.2").rename(root / "cifar10" / "2.0.0")
    cifar10(root)
    refused(r"several versions of cifar10: give one of .*2\.0\.0, .*3\.0\.2", root)
    assert len(load(root, "cifar10/3.0.2").split("train").images) == TRAIN


def test_another_data_set_is_not_served_under_this_name(tmp_path):
    root = cifar10(tmp_path / "tfds")
    message = r"cifar10.3\.0\.2 holds cifar10, expected celeb_a"
    refused(message, root / "cifar10" / "3.0.2", "celeb_a")
    (root / "cifar10").rename(root / "celeb_a")
    refused(message.replace("cifar10.3", "celeb_a.3"), root, "celeb_a")


SHARD, INFO = "cifar10-train.array_record-00000-of-00001", "dataset_info.json"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lengths(n):
    def harm(path):
        info = json.loads(path.read_text())
        for split in info["splits"]:
            split["shardLengths"] = [n]
        path.write_text(json.dumps(info))

    return harm


HARM = {
    "shard cut": (SHARD, cut),
    "shard gone": (SHARD, lambda path: path.unlink()),
    "shard empty": (SHARD, lambda path: path.write_bytes(b"")),
    "fewer records": (INFO, lengths("9")),
    "more records": (INFO, lengths("7")),
    "no number": (INFO, lengths("x")),
    "features broken": ("features.json", lambda path: path.write_text("{")),
    "features empty": ("features.json", lambda path: path.write_text("{}")),
    "features gone": ("features.json", lambda path: path.unlink()),
    "no version": (INFO, lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"version": ""}))),
    "info broken": (INFO, lambda path: path.write_text("{")),
    "info a list": (INFO, lambda path: path.write_text("[]")),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return cifar10(tmp_path_factory.mktemp("whole") / "tfds")


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("case", HARM)
def test_damage_is_named_with_what_repairs_it(tmp_path, prepared, case, skip):
    root = shutil.copytree(prepared, tmp_path / "tfds")
    name, harm = HARM[case]
    path = root / "cifar10" / "3.0.2"
    harm(path / name)
    for given in (root, path):
        message = refused(rf"{path}.*: damaged .*; delete {path} and prepare it anew: ", given, skip_corrupt=skip)
        assert message.endswith(COMMAND.format(root))
        assert (SHARD in message) == (name == SHARD or case in ("fewer records", "more records"))


def test_a_flipped_byte_spoils_one_picture(tmp_path, prepared):
    root = shutil.copytree(prepared, tmp_path / "tfds")
    path = root / "cifar10" / "3.0.2" / SHARD
    raw = bytearray(path.read_bytes())
    raw[bytes(raw).index(b"\x89PNG") + 500] ^= 1
    path.write_bytes(raw)
    refused(r"3\.0\.2 train \d: damaged .*prepare it anew", root)
    found = load(root, skip_corrupt=True)
    assert len(found.skipped) == 1
    train = {x.tobytes() for x in IMAGES[:TRAIN]}
    assert {x.tobytes() for x in stacked(found.split("train").images)} < train
    assert len(found.split("train").images) == TRAIN - 1


def test_no_image(tmp_path):
    prepare(
        tmp_path / "tfds",
        "pairs",
        {"other": library.features.Image(shape=(32, 32, 3))},
        lambda i: {"other": io.BytesIO(encoded(IMAGES[i]))},
    )
    refused("expected one uint8 image per example, found 2", tmp_path / "tfds", "pairs")


def test_the_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    refused(r'needs tensorflow-datasets \(.*\); run: pip install -e "\.\[tfds\]"$', tmp_path)


def test_a_broken_picture_is_named_or_left_out(tmp_path):
    whole = [encoded(x, "JPEG") for x in IMAGES]
    data = [d[:-50] if i == 3 else d for i, d in enumerate(whole)]
    prepare(tmp_path / "tfds", "broken", {"label": np.int64}, lambda i: {"label": i, "image": io.BytesIO(data[i])})
    refused(r"broken/3\.0\.2 train \d: corrupt or truncated", tmp_path / "tfds", "broken")
    found = load(tmp_path / "tfds", "broken", skip_corrupt=True)
    assert len(found.skipped) == 1
    images, labels = by_label(found.split("train"), TRAIN - 1)
    kept = [i for i in range(TRAIN) if i != 3]
    np.testing.assert_array_equal(labels[:, 0], kept)
    np.testing.assert_array_equal(images, np.stack([np.asarray(Image.open(io.BytesIO(whole[i]))) for i in kept]))


EVIL = "sde_vae_evil.sub.module.Feature"
OWN = "tensorflow_datasets.core.features"


def legacy(kind, content=None):
    return {"type": kind, "content": {} if content is None else content}


def proto(kind, **content):
    return {"pythonClassName": kind, **content}


TOP = f"{OWN}.features_dict.FeaturesDict"
HOSTILE = {
    "at the top": proto(EVIL, featuresDict={}),
    "at the top, by the field's own name": {"python_class_name": EVIL},
    "in a dict": proto(TOP, featuresDict={"features": {"x": proto(EVIL, tensor={})}}),
    "in a sequence": proto(
        TOP,
        featuresDict={
            "features": {
                "x": proto(f"{OWN}.sequence_feature.Sequence", sequence={"feature": proto(EVIL)}),
            }
        },
    ),
    "in JSON in JSON": proto(TOP, jsonFeature={"json": json.dumps({"x": legacy(EVIL)})}),
    "twice in JSON": proto(TOP, jsonFeature={"json": json.dumps({"x": legacy(TOP, {"y": legacy(EVIL)})})}),
    "legacy": legacy(EVIL),
    "legacy, in a dict": legacy(TOP, {"x": legacy(EVIL)}),
    "legacy, in a sequence": legacy(f"{OWN}.sequence_feature.Sequence", {"feature": legacy(EVIL), "length": 1}),
    "a feature called type": legacy(TOP, {"type": legacy(EVIL)}),
    "a test of the library": proto(f"{OWN}.image_feature_test.FeaturesTest"),
    "a module of the library": proto("tensorflow_datasets.scripts.cli.main.X"),
    "with control characters": proto("sde_vae_evil\x1b[31m.x\n.Y" + "z" * 500),
    "without a dot": proto("sde_vae_evil"),
    "empty": proto(""),
}


def hostile(root, features=None, info=None):
    """The prepared folder with another features.json, or with other fields in its dataset_info.json."""
    path = root / "cifar10" / "3.0.2"
    if features is not None:
        (path / "features.json").write_text(json.dumps(features))
    if info is not None:
        known = json.loads((path / INFO).read_text())
        (path / INFO).write_text(json.dumps(known | info(known)))
    return root


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A package on the search path that the files name; gives a function that says whether any of it was imported."""
    for folder in ("sde_vae_evil", "sde_vae_evil/sub"):
        (tmp_path / "path" / folder).mkdir(parents=True)
        (tmp_path / "path" / folder / "__init__.py").write_text("")
    (tmp_path / "path" / "sde_vae_evil" / "sub" / "module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "path")
    yield lambda: [name for name in sys.modules if name.startswith("sde_vae_evil")]
    for name in [name for name in sys.modules if name.startswith("sde_vae_evil")]:
        del sys.modules[name]


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_features_json_imports_nothing(tmp_path, prepared, evil, case):
    root = hostile(shutil.copytree(prepared, tmp_path / "tfds"), HOSTILE[case])
    before = set(sys.modules)
    message = refused(r"features\.json: names the feature class '.*', expected one of tensorflow-datasets' own", root)
    assert message.isprintable()
    assert len(message) < 600
    assert not evil()
    assert set(sys.modules) == before


def test_the_cases_are_hostile_without_the_check(tmp_path, prepared, evil, monkeypatch):
    """The library itself imports the module, for each form of the file that it reads."""
    monkeypatch.setattr("sde_vae.data.datasets.tfds.check_features", lambda path, name: None)
    for case in ("at the top", "in a dict", "in JSON in JSON", "legacy, in a dict"):
        with pytest.raises(BadInput):
            load(hostile(shutil.copytree(prepared, tmp_path / case), HOSTILE[case]))
        assert evil(), case
        for name in evil():
            del sys.modules[name]


def test_a_module_in_dataset_info_is_not_imported(tmp_path, prepared, evil):
    root = shutil.copytree(prepared, tmp_path / "tfds")
    hostile(root, info=lambda known: {"moduleName": "sde_vae_evil.sub.module"})
    assert len(load(root).split("train").images) == TRAIN
    assert not evil()


@pytest.mark.parametrize("template", ["/etc/passwd", "../x-{SPLIT}", "{DATASET}/../../x"])
def test_records_outside_of_the_folder_are_refused(tmp_path, prepared, template):
    def info(known):
        return {"splits": [split | {"filepathTemplate": template} for split in known["splits"]]}

    refused("not in this folder|damaged", hostile(shutil.copytree(prepared, tmp_path / "tfds"), info=info))


def test_a_file_of_labels_is_not_read(tmp_path, prepared):
    label = legacy(f"{OWN}.class_label_feature.ClassLabel", {"names_file": "/etc/passwd"})
    root = hostile(shutil.copytree(prepared, tmp_path / "tfds"), legacy(TOP, {"label": label}))
    refused("names a file of labels, '/etc/passwd', which is not read", root)


def test_the_allowed_classes_are_the_library_s():
    found = {n for n in library.features.FeatureConnector._registered_features if n.startswith(f"{OWN}.")}
    assert {n for n in found if "_test" not in n} == CLASSES
