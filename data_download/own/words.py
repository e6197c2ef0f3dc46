"""What words in a name say: that a file or folder is of images or of masks, and what is left without these words."""

from __future__ import annotations

import re

MASKS = (
    "gt gd seg segs segm segmentation segmentations mask masks msk label labels labelmap labelmaps lbl dseg roi rois truth "
    "groundtruth ground_truth annotation annotations annot contour contours delineation delineations outline outlines "
    "manual manualseg"
).split()
IMAGES = "image images img imgs imaging scan scans volume volumes vol vols".split()
# What a folder of images adds to its name when there are several: imagesTr and labelsTr belong together.
PARTS = "tr ts va training train testing test validation valid val fold".split()
DATATYPES = "anat func dwi fmap perf pet ct mr mri beh micr nii nifti".split()

# In a BIDS name, what a mask says beyond its image: they do not tell which image it is of.
OF_THE_MASK = re.compile(r"(desc|label|space|res|den|seg|lesion|atlas)-")

OF_AN_IMAGE = re.compile(r"_space-(T[12]\w*|FLAIR|PDw|dwi|adc|bold)(?=_|$)", re.IGNORECASE)


def _word(words: list[str]) -> str:
    """As a word of its own, also in imagesTr, GroundTruth and P1Seg, but not in segment or relabelled."""
    longest_first = sorted(words, key=len, reverse=True)
    small = "|".join(longest_first)
    great = "|".join(word.capitalize() for word in longest_first)
    alone, first = f"(?<![A-Za-z])(?i:{small})(?![A-Za-z])", f"(?<![A-Za-z])(?:{small}|{great})(?=[A-Z])"
    return f"(?:{alone}|{first}|(?<=[a-z])(?:{great})(?![a-z]))"


MASK, IMAGE, EITHER = (re.compile(_word(words)) for words in (MASKS, IMAGES, MASKS + IMAGES))
_WITH_SEPARATORS = re.compile(f"([_\\-. ]*)(?:{_word(MASKS + IMAGES)}[_\\-. ]*)+")


def without_roles(name: str) -> str:
    """What a name says beside image or mask: "P1_ED" of "P1_seg_ED", "0001" of "img0001", "" of "segmentation"."""
    if is_bids(name):
        kept = (part if "-" in part else EITHER.sub("", part) for part in name.split("_") if not OF_THE_MASK.match(part))
        kept = [part for part in kept if part]
        if (space := OF_AN_IMAGE.search(name)) and "-" in kept[-1]:
            kept.append(space[1])  # drawn on the T2w, and named by nothing else
        return "_".join(kept)

    def joined(match: re.Match) -> str:
        inside = match.start() and match.end() < len(name)
        return (match[1][:1] or "_") if inside else ""

    return _WITH_SEPARATORS.sub(joined, name)


def names_a_mask(name: str) -> bool:
    """Does a file's name without its ending say that it is a mask?"""
    if is_bids(name):
        parts = name.split("_")
        said = [part for part in parts if "-" not in part or OF_THE_MASK.match(part)]
        return bool(MASK.search("_".join(said).replace("space-", ""))) or any(p.startswith(("label-", "seg-")) for p in said)
    return bool(MASK.search(name))


def is_bids(name: str) -> bool:
    """Does it begin as all names of BIDS do?"""
    return bool(re.match(r"sub-[A-Za-z0-9]+(_|$)", name))


def is_part(name: str) -> bool:
    """Is this one part of a set, such as train, Ts or fold_2?"""
    return bool(re.fullmatch(rf"({'|'.join(PARTS)})[_\-. ]?\d*", name, flags=re.IGNORECASE))


def is_unlabelled(name: str) -> bool:
    """Does a folder's name say that its images need no masks, as imagesTs, test and unlabelled do?"""
    return bool(re.search(r"(?<![A-Za-z])(?:[Tt]est(?:ing)?|[Uu]n_?label?led)|(?<=[a-z])Ts$|^[Tt]s$", name))


def tokens(name: str) -> frozenset[str]:
    """The pieces of a name, in lower case; an entity of BIDS, such as ses-1, is one piece."""
    pieces = [piece for piece in re.split(r"[_. ]+", name.lower()) if piece]
    parts = ([piece] if re.fullmatch(r"[a-z]+-[a-z0-9]+", piece) else piece.split("-") for piece in pieces)
    return frozenset(part for some in parts for part in some if part)
