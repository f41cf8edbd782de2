"""The stack's only source of randomness: splitmix64 from a seed, so that a run is a function of its seed."""

from __future__ import annotations

_MASK = (1 << 64) - 1


class Rng:
    def __init__(self, seed: int = 0) -> None:
        self._state = seed & _MASK

    def u64(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def u32(self) -> int:
        return self.u64() >> 32

    def below(self, bound: int) -> int:
        """Uniform in [0, bound)."""
        return self.u64() % bound
