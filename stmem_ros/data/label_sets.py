"""Labels that stand for a set of classes: what a coarser label set says in a finer one's terms.

IDD Lite's seven classes are coarser than CamVid's eleven: a far object is a building or a tree.
Such labels can be trained on (a loss over the allowed classes), and both label sets can be scored
in the groups that they share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stmem_ros.classes import CAMVID, IDD_LITE, UNLABELLED, SemanticClass

# Which classes of CamVid a label of IDD Lite allows. Looked at in pictures: roadside objects hold
# walls, stalls and billboards, which CamVid calls buildings and signs; riders are living things and
# their motorcycles vehicles, which CamVid calls bicyclist, both.
IDD_LITE_IN_CAMVID: dict[str, tuple[str, ...]] = {
    "drivable": ("road",),
    "non-drivable": ("sidewalk",),
    "living": ("pedestrian", "bicyclist"),
    "vehicle": ("car", "bicyclist"),
    "roadside": ("fence", "pole", "sign", "building"),
    "far": ("building", "tree"),
    "sky": ("sky",),
}

Groups = dict[str, tuple[str, ...]]

# The groups of classes that both label sets can tell.
GROUPS: Groups = {
    "drivable": ("road", "drivable"),
    "other ground": ("sidewalk", "non-drivable"),
    "movers": ("pedestrian", "bicyclist", "car", "living", "vehicle"),
    "standing": ("building", "pole", "tree", "sign", "fence", "roadside", "far"),
    "sky": ("sky",),
}


@dataclass(frozen=True)
class ClassGroups:
    """The groups that a model's and a data set's classes share.

    Attributes:
        names: of the groups, in the order of their ids.
        of_model, of_dataset: group id of every label value, 256 uint8; 255 for none.
    """

    names: tuple[str, ...]
    of_model: np.ndarray
    of_dataset: np.ndarray


def shared_groups(
    model: tuple[SemanticClass, ...], dataset: tuple[SemanticClass, ...]
) -> ClassGroups:
    """What of a model's labels can be compared with a data set's.

    Equal label sets share their classes; CamVid and IDD Lite share ``GROUPS``.

    Raises:
        ValueError: the label sets share nothing that is known; the message names both.
    """
    model_names, dataset_names = [c.name for c in model], [c.name for c in dataset]
    if model_names == dataset_names:
        groups: Groups = {name: (name,) for name in model_names}
    elif {tuple(model_names), tuple(dataset_names)} == {_names(CAMVID), _names(IDD_LITE)}:
        groups = GROUPS
    else:
        raise ValueError(
            f"the model's classes are {model_names}; the data set's are {dataset_names}"
        )
    return ClassGroups(tuple(groups), _group_ids(model, groups), _group_ids(dataset, groups))


def allowed_classes(
    coarse: tuple[SemanticClass, ...], fine: tuple[SemanticClass, ...]
) -> np.ndarray:
    """Which fine classes each coarse label allows, bool, coarse x fine.

    The other way round too: which coarse classes a fine label may be.

    Raises:
        ValueError: it is not known for these label sets; the message names both.
    """
    if (_names(fine), _names(coarse)) == (_names(IDD_LITE), _names(CAMVID)):
        return allowed_classes(fine, coarse).T
    if (_names(coarse), _names(fine)) != (_names(IDD_LITE), _names(CAMVID)):
        raise ValueError(
            f"labels {list(_names(coarse))} are not known as sets of {list(_names(fine))}; "
            "those of IDD Lite are, as sets of CamVid's"
        )
    return np.array([[f.name in IDD_LITE_IN_CAMVID[c.name] for f in fine] for c in coarse])


def _names(classes: tuple[SemanticClass, ...]) -> tuple[str, ...]:
    return tuple(c.name for c in classes)


def _group_ids(classes: tuple[SemanticClass, ...], groups: Groups) -> np.ndarray:
    ids = np.full(256, UNLABELLED, np.uint8)
    for c in classes:
        for i, members in enumerate(groups.values()):
            if c.name in members:
                ids[c.id] = i
    return ids
