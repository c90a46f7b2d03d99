"""Trees of mirrors: one for each stripe of an image, so that every mirror sends about as much as it receives.

In stripe j the mirrors whose place is j modulo the number of stripes stand inside the tree and all others are its
leaves (the idea of SplitStream): each sends one stripe to as many children as there are stripes, which together is one
image, and receives one image. With a single tree, inner mirrors would send several images and leaves none.
"""

from collections.abc import Mapping, Sequence

from dcp.images.warming.model import Stripes

ALTERNATIVES = 3
"""Ancestors that a mirror knows for each stripe: its parent, and two more for when that fails."""


def plan_trees(mirrors: Sequence[str], stripes: int) -> Mapping[str, Stripes]:
    """Return where each mirror takes each stripe from. Whoever comes first in `mirrors` stands nearer to the registry.

    With one mirror, or one stripe over a single mirror, everything comes from the registry. Nobody has more than
    `stripes` children in a stripe (one child each where there is a single stripe: a chain).
    """
    count = max(1, min(stripes, len(mirrors)))
    upward: dict[str, list[tuple[str, ...]]] = {mirror: [] for mirror in mirrors}
    for stripe in range(count):
        inside = mirrors[stripe::count]
        within = frozenset(inside)
        # Another one first in each stripe: the few children for which there is no room inside hang from it.
        turned = [*mirrors[stripe:], *mirrors[:stripe]]
        leaves = [mirror for mirror in turned if mirror not in within]
        order = [*inside, *leaves]
        ancestors: dict[str, tuple[str, ...]] = {}
        for place, mirror in enumerate(order):
            if place == 0:
                ancestors[mirror] = ()
            else:
                parent = order[(place - 1) // count]
                ancestors[mirror] = (parent, *ancestors[parent])[:ALTERNATIVES]
            upward[mirror].append(ancestors[mirror])
    return {mirror: Stripes(tuple(lists)) for mirror, lists in upward.items()}


def depth_of(mirrors: int, stripes: int) -> int:
    """Return how many mirrors an image passes at most on its way from the registry to the last one."""
    count = max(1, min(stripes, mirrors))
    if count == 1:
        return mirrors
    depth, reached, width = 0, 0, 1
    while reached < mirrors:
        reached += width
        width *= count
        depth += 1
    return depth
