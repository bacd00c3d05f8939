"""A workflow of two steps on AWS Lambda, with every option left out."""

from atomic.sdk.aws_lambda import Context, Endpoints

handler = Endpoints("/orders")


@handler.workflow
def order(ctx: Context, number: int) -> int:
    """The number, changed by both steps."""
    return ctx.step(ship, ctx.step(pay, number))


@handler.step
def pay(number: int) -> int:
    """The first step."""
    return number * 10


@handler.step
def ship(paid: int) -> int:
    """The second step."""
    return paid + 1
