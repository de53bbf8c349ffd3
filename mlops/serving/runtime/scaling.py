"""How many processes a version in processes of its own gets, by how busy they are."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds between two looks.
LOOK_SECONDS = 1.0


@dataclass
class Scale:
    """Grows after some looks in a row at which the processes were busy most of their time; shrinks after many
    at which one less would have been idle half of its. The gap between the two keeps a steady load from
    making processes come and go.

    Attributes:
        most: Processes at most.
        high: Share of their time, 0 to 1, from which they are busy.
        low: Share of its time below which one less is enough.
        grow_after, shrink_after: Looks in a row.
    """

    most: int
    high: float = 0.8
    low: float = 0.5
    grow_after: int = 3
    shrink_after: int = 60
    _over: int = 0
    _under: int = 0

    def look(self, busy: float, number: int) -> int:
        """How many there should be.

        Args:
            busy: Share of their time that they worked since the last look, 0 to 1.
            number: How many there are, at least 1.
        """
        self._over = self._over + 1 if busy >= self.high else 0
        enough = number > 1 and busy * number / (number - 1) < self.low
        self._under = self._under + 1 if enough else 0
        if number < self.most and self._over >= self.grow_after:
            self._over = 0
            return number + 1
        if number > self.most or self._under >= self.shrink_after:
            self._under = 0
            return number - 1
        return number
