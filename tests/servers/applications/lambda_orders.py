"""A workflow of two steps on AWS Lambda, with all options at their defaults."""

from atomic.sdk.aws_lambda import Context, Endpoints

handler = Endpoints("/orders")


@handler.workflow
def order(ctx: Context, number: int) -> int:
    """Call both steps, each of which changes the number."""
    return ctx.step(ship, ctx.step(pay, number))


@handler.step
def pay(number: int) -> int:
    """The first step."""
    return number * 10


@handler.step
def ship(paid: int) -> int:
    """The second step."""
    return paid + 1
