"""What every `Clock` and every `Entropy` must do. Inherit and define `on` or `entropy`."""

import re
from collections.abc import Callable

from atomic.application.ports import Clock, Entropy

YEAR_2020_MS, YEAR_2100_MS = 1_577_836_800_000, 4_102_444_800_000


class ClockContract:
    """Inherit and define `on`, which runs a function in the environment that the clock needs."""

    def on(self, body: Callable[[Clock, Callable[[int], None]], None]) -> None:
        """Call the function with a clock, and with a function that lets that many milliseconds pass."""
        raise NotImplementedError

    def test_it_tells_whole_milliseconds_since_the_epoch(self) -> None:
        def body(clock: Clock, _: Callable[[int], None]) -> None:
            for told in (clock.now_ms(), clock.wall_ms()):
                assert type(told) is int
                assert YEAR_2020_MS < told < YEAR_2100_MS

        self.on(body)

    def test_both_clocks_advance_by_the_time_that_passes(self) -> None:
        def body(clock: Clock, let_pass: Callable[[int], None]) -> None:
            before = clock.now_ms(), clock.wall_ms()
            let_pass(30)
            after = clock.now_ms(), clock.wall_ms()
            assert all(29 <= late - early < 5_000 for early, late in zip(before, after, strict=True))

        self.on(body)

    def test_it_is_the_wall_clock_unless_that_is_set(self) -> None:
        def body(clock: Clock, _: Callable[[int], None]) -> None:
            assert abs(clock.now_ms() - clock.wall_ms()) < 1_000

        self.on(body)


class EntropyContract:
    """Inherit and define `entropy`."""

    def entropy(self) -> Entropy:
        raise NotImplementedError

    def test_a_token_is_32_hex_digits_and_unique(self) -> None:
        entropy = self.entropy()
        tokens = [entropy.token() for _ in range(1_000)]
        assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)
        assert len(set(tokens)) == len(tokens)

    def test_fractions_are_spread_over_0_to_1(self) -> None:
        entropy = self.entropy()
        fractions = [entropy.fraction() for _ in range(2_000)]
        assert all(0 <= fraction < 1 for fraction in fractions)
        # Each tenth has 200 fractions, with a standard deviation of 13; a correct source fails once in
        # 10^20 runs.
        tenths = [sum(tenth <= 10 * fraction < tenth + 1 for fraction in fractions) for tenth in range(10)]
        assert all(70 < found < 400 for found in tenths)
