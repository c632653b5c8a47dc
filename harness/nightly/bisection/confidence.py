"""What n boots prove about a symptom that does not show at every boot. Pure."""

import math

import attrs

SURE = 0.95
"""How sure the bound on the rate is."""
RARE = 0.01
"""The probability of a wrong answer that is worth more boots."""


@attrs.frozen
class Seen:
    """How often the symptom showed on a commit that has it."""

    bad: int
    boots: int

    @property
    def rate(self) -> float:
        """Its share of the boots, 0 to 1."""
        return self.bad / self.boots

    @property
    def least(self) -> float:
        """A rate so low that it would show as often as seen, or oftener, with a probability of 5 % only.

        Clopper and Pearson's lower bound: it assumes nothing but that boots do not know of each other.
        """
        low, high = 0.0, 1.0
        for _ in range(50):
            rate = (low + high) / 2
            low, high = (rate, high) if _at_least(self.bad, self.boots, rate) < 1 - SURE else (low, rate)
        return low


def missed(rate: float, boots: int) -> float:
    """Return the probability that a symptom of this *rate* shows at none of *boots*: a bad commit passes as good."""
    return (1 - rate) ** boots


def wrong(rate: float, boots: int, goods: int) -> float:
    """Return the probability that one or more of *goods* votes for good, of so many *boots* each, went to a bad one.

    An upper bound: it takes all of these commits for bad ones.
    """
    return 1 - (1 - missed(rate, boots)) ** goods


def needed(rate: float, goods: int) -> int:
    """Return how many boots a commit must pass for `wrong` to be below RARE."""
    if not 0 < rate < 1:
        return 1
    return math.ceil(math.log(1 - (1 - RARE) ** (1 / max(goods, 1))) / math.log(1 - rate))


def _at_least(bad: int, boots: int, rate: float) -> float:
    """Return the probability of *bad* or more in *boots*."""
    return sum(math.comb(boots, k) * rate**k * (1 - rate) ** (boots - k) for k in range(bad, boots + 1))
