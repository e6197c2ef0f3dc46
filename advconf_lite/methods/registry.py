"""Every method by its name: a trained head, or a score from Monte Carlo samples or plain passes without training.

A method is one class in a file of this folder, registered under the name that users type.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import cache

from torch import Tensor

from advconf_lite.agreement import Samples
from advconf_lite.head_training import HeadMethod
from advconf_lite.methods.passes import PassMethod
from advconf_lite.quality import Quality
from advconf_lite.support.errors import BadInput

DEFAULT_METHODS = ("plain", "adversarial", "agreement-2", "agreement-15")
# what users read -> (what they may type, class)
_REGISTRY: dict[str, tuple[re.Pattern, type[Method]]] = {}


def register(shown: str, pattern: str | None = None) -> Callable[[type], type]:
    """Enter a class under a name.

    Args:
        shown: the name as error messages and help list it, such as "agreement-N (N >= 2)".
        pattern: regular expression of the whole name; its groups go to the class. Default: `shown` itself.
    """

    def enter(cls: type) -> type:
        _REGISTRY[shown] = re.compile(pattern or re.escape(shown)), cls
        return cls

    return enter


@cache
def find_method(name: str) -> Method:
    """The method of a name.

    Raises:
        BadInput: there is no such method.
    """
    for pattern, cls in _REGISTRY.values():
        if match := pattern.fullmatch(name):
            return cls(name, *match.groups())
    raise BadInput(f"method {name!r} is unknown; choose from {', '.join(_REGISTRY)}", argument="methods")


def parse_methods(names: Sequence[str]) -> list[str]:
    """Method names without repetitions, each one checked."""
    return [find_method(name).name for name in dict.fromkeys(names)]


def head_methods(names: Sequence[str]) -> list[str]:
    """Those of `names` that train a head."""
    return [name for name in names if isinstance(find_method(name), HeadMethod)]


def what_it_is(cls: type) -> str:
    """The first sentence of a method's docstring."""
    return re.split(r"(?<=\.) (?=[A-Z`])", " ".join(inspect.getdoc(cls).split()))[0]


def in_words(method: Method) -> str:
    """What a method is: in the words for its name, `what`, where its class has many names, else those of its class."""
    return getattr(method, "what", None) or what_it_is(type(method))


def described() -> dict[str, str]:
    """Names as error messages and help list them -> what each is."""
    return {shown: what_it_is(cls) for shown, (_, cls) in _REGISTRY.items()}


def known_names() -> list[str]:
    """Names as error messages and help list them."""
    return list(_REGISTRY)


class SampledMethod:
    """A score from Monte Carlo dropout samples of the segmenter: it ranks images, but does not estimate the quality.

    Attributes:
        samples: how many; methods of a run share them, those that need fewer take the first ones.
        needs_mean: whether `score` reads the mean softmax.
    """

    samples: int
    needs_mean = False
    estimates = False  # predictions.csv says so, and a metric of the number itself, as the MAE, is left out

    def __init__(self, name: str, *numbers: str) -> None:
        self.name = name

    def score(self, samples: Samples, g: Quality, empty: str) -> Tensor:
        """(B, classes), high for images that are likely to be segmented well; `empty` as in `score_agreement`."""
        raise NotImplementedError


def sampled_methods(names: Sequence[str]) -> list[SampledMethod]:
    """Those of `names` that are scores from samples."""
    return [find_method(name) for name in names if isinstance(find_method(name), SampledMethod)]


def pass_methods(names: Sequence[str]) -> list[PassMethod]:
    """Those of `names` that are scores from plain passes."""
    return [find_method(name) for name in names if isinstance(find_method(name), PassMethod)]


def scored(names: Sequence[str], qualities: Sequence[str]) -> list[tuple[str, str]]:
    """(method, quality) of all that there are scores of: a method may know one quality alone."""
    return [(name, q) for name in names for q in qualities if getattr(find_method(name), "only", None) in (None, q)]


def check_methods(names: Sequence[str], qualities: Sequence[str], one_network: bool = False) -> None:
    """BadInput if one of `names` can score none of the qualities, or needs others than the `one_network` that is given."""
    for method in pass_methods(names):
        if not scored([method.name], qualities):
            raise BadInput(
                f"{method.name} scores {method.only} alone, which is not asked for; leave it out, or ask for "
                f"{method.only} too",
                argument="methods",
            )
        if one_network and method.segmenters > 1:
            raise BadInput(
                f"{method.name} needs {method.segmenters} networks that were trained apart, and the weights are those of "
                "one; leave it out",
                argument="methods",
            )


Method = HeadMethod | SampledMethod | PassMethod


def seeds_needed(seed: int, methods: Sequence[str]) -> list[int]:
    """Seeds of the segmenters that scores of one's masks need: its own, then for an ensemble the first others, so that the
    segmenters of a run share them."""
    k = max((method.segmenters for method in pass_methods(methods)), default=1)
    return [seed, *[other for other in range(k) if other != seed][: k - 1]]
