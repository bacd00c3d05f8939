"""What lets calls begin slowly, or not at all, whatever their client and their destination."""

from typing import Protocol

from atomic.domain.steps import StepSpec


class CallLimit(Protocol):
    """A server or a stack is paused, or goes on after that."""

    def per_s(self) -> int | None:
        """How many calls a second may begin; None without a limit, or where nobody counts them."""
        ...

    def take(self, spec: StepSpec, /) -> bool:
        """Whether the step may be called now."""
        ...

    def defer_until_ms(self, spec: StepSpec, /, now_ms: int) -> int | None:
        """When a step that may not be called asks again; None if that does not depend on this limit."""
        ...
